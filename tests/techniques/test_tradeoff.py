from __future__ import annotations

import csv
import io
import json
import math

import pytest
from visage.techniques.tradeoff import (
    add_run,
    as_csv,
    as_json,
    describe_dial,
    fit_dial,
    from_csv,
    from_json,
    make_run,
    mean_runs,
    pareto_front,
    turn,
)

# Much style, then two on the way, then all of the person; the third run is beaten by the second.
CURVE = [
    make_run("denoise=0.9, weight=1", 0.8, 0.2),
    make_run("denoise=0.6, weight=0.8", 0.6, 0.5),
    make_run("denoise=0.5, weight=1", 0.5, 0.4),
    make_run("denoise=0.2, weight=0", 0.1, 0.8),
]


@pytest.mark.parametrize(
    ("label", "settings"),
    [
        ("denoise=0.5", {"denoise": 0.5}),
        (
            "Sampler.denoise=0.5, Style adapter.weight = -1e-1",
            {"Sampler.denoise": 0.5, "Style adapter.weight": -0.1},
        ),
        ("my favourite", {}),
        ("prompt=a cat, steps=20", {"steps": 20}),
        ("mode=3d; weight=1.", {"weight": 1}),
    ],
)
def test_numbers_in_a_label_are_the_runs_settings(label, settings):
    assert make_run(label, 0, 0).settings == settings


def test_a_run_without_a_name_or_a_score_is_refused():
    with pytest.raises(ValueError, match="needs a label"):
        make_run(" ", 0.5, 0.5)
    with pytest.raises(ValueError, match="identity score of 'a' is not a number.*no face"):
        make_run("a", 0.5, math.nan)


def test_a_run_of_the_same_label_is_replaced():
    runs = add_run(CURVE, make_run(CURVE[1].label, 0.7, 0.7))
    assert [run.style for run in runs] == [0.8, 0.7, 0.5, 0.1]
    assert len(add_run(CURVE, make_run("new", 0, 0))) == 5


def test_the_front_is_what_nobody_beats_in_order_of_identity():
    assert pareto_front(CURVE) == [CURVE[0], CURVE[1], CURVE[3]]
    # Equal in one score and worse in the other is beaten as well; of equals the first stays.
    runs = [make_run("a", 0.5, 0.5), make_run("b", 0.5, 0.4), make_run("c", 0.5, 0.5)]
    assert pareto_front(runs) == runs[:1]
    assert pareto_front([]) == []


def test_the_table_has_a_column_for_each_setting():
    rows = list(csv.DictReader(io.StringIO(as_csv([*CURVE, make_run("plain, a", 0, 1)]))))
    assert [row["on_front"] for row in rows] == ["1", "1", "0", "1", "1"]
    assert rows[0]["denoise"] == "0.9" and rows[4]["denoise"] == ""
    assert rows[4]["label"] == "plain, a"


def test_a_table_comes_back_as_the_same_runs():
    assert from_csv(as_csv(CURVE)) == CURVE


def test_json_comes_back_as_the_same_runs():
    assert from_json(as_json(CURVE)) == CURVE
    assert [run["on_front"] for run in json.loads(as_json(CURVE))["runs"]] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[1]", "lacks something"),
        ('{"runs": [{"label": "a", "style": 1}]}', "'identity'"),
        ('{"runs": [{"label": "a", "style": "x", "identity": 1, "settings": {}}]}', "lacks"),
    ],
)
def test_another_text_is_no_curve(text, message):
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_the_dial_goes_from_all_style_to_all_person():
    points = fit_dial(CURVE)
    assert [point.dial for point in points] == pytest.approx([0, 0.5, 1])
    assert turn(points, 0).settings == {"denoise": 0.9, "weight": 1}
    assert turn(points, 1).settings == {"denoise": 0.2, "weight": 0}
    assert turn(points, 2) == turn(points, 1)


def test_between_the_runs_settings_change_evenly():
    quarter = turn(fit_dial(CURVE), 0.25)
    assert quarter.settings == pytest.approx({"denoise": 0.75, "weight": 0.9})
    assert (quarter.style, quarter.identity) == pytest.approx((0.7, 0.35))


def test_one_run_gives_its_settings_everywhere():
    points = fit_dial(CURVE[:1])
    assert turn(points, 0.7).settings == CURVE[0].settings


def test_a_curve_without_equal_settings_cannot_be_dialled():
    with pytest.raises(ValueError, match="no settings to dial"):
        fit_dial([make_run("mine", 0.1, 0.2)])
    with pytest.raises(ValueError, match="no settings to dial"):
        fit_dial([])
    with pytest.raises(ValueError, match="denoise, weight and denoise"):
        fit_dial([*CURVE, make_run("denoise=0", 0.0, 1.0)])


def test_the_table_shows_where_the_dial_stands():
    points = fit_dial(CURVE)
    lines = describe_dial(points, turn(points, 0.25)).splitlines()
    assert lines[0].split() == ["dial", "denoise", "weight", "style", "identity"]
    assert lines[2].split() == [">", "0.25", "0.75", "0.9", "0.700", "0.350"]
    assert len(lines) == 5


def test_scores_of_several_items_are_averaged():
    one, other = ([as_csv([make_run("mine", *scores)])] for scores in ((0.2, 0.4), (0.4, 0.8)))
    (run,) = mean_runs("denoise=0.5", [one, other])
    assert run.label == "denoise=0.5" and run.settings == {"denoise": 0.5}
    assert (run.style, run.identity) == pytest.approx((0.3, 0.6))


def test_runs_of_one_workflow_keep_their_labels_and_are_counted_once():
    first, second = make_run("a=1", 0.1, 0.9), make_run("a=2", 0.2, 0.8)
    chained = [as_csv([first]), as_csv([first, second])]
    assert [run.label for run in mean_runs("b=3", [chained])] == ["b=3, a=1", "b=3, a=2"]
    assert mean_runs("", [chained]) == [first, second]
    assert mean_runs("b=3", []) == []
