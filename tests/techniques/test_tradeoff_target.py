"""The most style that keeps the person, found in few runs."""

import math

import pytest
from visage.techniques.tradeoff import Run
from visage.techniques.tradeoff_target import Target, find_target, read_target

CURVES = {
    "line": lambda x: 1 - 0.8 * x,
    "rising": lambda x: 0.2 + 0.8 * x,
    "early fall": lambda x: 0.15 + 0.85 * math.exp(-6 * x),
    "late fall": lambda x: 1 - 0.9 * x**6,
    "cliff": lambda x: 0.95 - 0.85 / (1 + math.exp(-14 * (x - 0.6))),
}


def measured(curve):
    """Runs a value on a known curve, and keeps count."""

    def measure(value):
        identity = curve(value)
        return Run(f"A.b={value:g}", 1 - identity, identity, {"A.b": value})

    return measure


@pytest.mark.parametrize("target", [0.3, 0.45, 0.6, 0.8])
@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_eight_runs_come_within_two_hundredths(curve, target):
    found = find_target(measured(curve), 0, 1, Target("identity", target))
    assert found.met
    assert 0 <= found.best.identity - target <= 0.02
    assert len(found.runs) <= 8
    assert found.as_dict(Target("identity", target))["runs"] == len(found.runs)


def test_of_all_runs_that_keep_the_person_the_one_with_most_style_is_taken():
    found = find_target(measured(CURVES["late fall"]), 0, 1, Target("identity", 0.5))
    kept = [run for run in found.runs if run.identity >= 0.5]
    assert found.best == max(kept, key=lambda run: run.style)


def test_style_may_be_the_target_as_well():
    found = find_target(measured(CURVES["line"]), 0, 1, Target("style", 0.4))
    assert 0 <= found.best.style - 0.4 <= 0.02


def test_a_target_that_no_value_reaches_is_said_after_two_runs():
    found = find_target(measured(CURVES["line"]), 0.5, 1, Target("identity", 0.9))
    assert (found.best, found.met, len(found.runs)) == (None, False, 2)
    assert "no value reaches it: the best is A.b=0.5" in found.said


def test_where_every_value_keeps_the_person_the_most_style_is_taken():
    found = find_target(measured(CURVES["line"]), 0, 0.25, Target("identity", 0.5))
    assert (found.best.settings, found.met) == ({"A.b": 0.25}, True)


def test_a_jump_over_the_target_is_no_success():
    found = find_target(measured(lambda x: 0.9 if x < 0.37 else 0.1), 0, 1, Target("identity", 0.5))
    assert not found.met
    assert found.best.identity == 0.9
    assert len(found.runs) == 8
    assert "0.400 above it, more than 0.02" in found.said


def test_a_target_is_read():
    assert read_target("identity=0.6") == Target("identity", 0.6)


@pytest.mark.parametrize("text", ["0.6", "identity", "likeness=1", "style=much"])
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="write identity=0.6 or style=0.4"):
        read_target(text)


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="nothing to search between 1 and 1"):
        find_target(measured(CURVES["line"]), 1, 1, Target("identity", 0.5))
