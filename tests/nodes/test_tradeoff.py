"""Trade-off and Dial, run as ComfyUI runs them."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def module(comfy_nodes, monkeypatch, tmp_path):
    import folder_paths
    from visage.nodes import tradeoff

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    return tradeoff


def collect(module, style, identity, label, keep="", runs=None):
    return module.VisageTradeoff.execute(style, identity, label, keep, runs).args


def labels(curve):
    return [run["label"] for run in json.loads(curve)["runs"]]


def test_runs_are_chained_and_drawn(module):
    *_, runs = collect(module, 0.9, 0.2, "denoise=0.9")
    plot, table, curve, runs = collect(module, 0.2, 0.8, "denoise=0.2", runs=runs)
    assert plot.shape == (1, 640, 960, 3)
    assert table.splitlines()[1] == "denoise=0.9,0.9000,0.2000,1,0.9"
    assert labels(curve) == ["denoise=0.9", "denoise=0.2"] and len(runs) == 2


def test_kept_runs_are_there_in_the_next_run_and_replaced_by_label(module, tmp_path):
    collect(module, 0.9, 0.2, "a=1", "mine")
    collect(module, 0.5, 0.5, "a=2", "mine")
    _, table, curve, _ = collect(module, 0.8, 0.3, "a=1", "mine")
    assert [run["style"] for run in json.loads(curve)["runs"]] == [0.8, 0.5]
    folder = tmp_path / "visage_tradeoff"
    assert sorted(path.name for path in folder.iterdir()) == ["mine.csv", "mine.json"]
    assert (folder / "mine.csv").read_text() == table
    assert labels(collect(module, 0.1, 0.1, "b", "other")[2]) == ["b"]


@pytest.mark.parametrize("name", ["../secret", "/etc/x", ".hidden", "a/b"])
def test_a_name_cannot_lead_out_of_the_folder(module, name):
    assert "cannot be the name" in module.VisageTradeoff.validate_inputs(name)
    with pytest.raises(ValueError, match="cannot be the name"):
        collect(module, 0.1, 0.1, "a", name)
    assert module.VisageTradeoff.validate_inputs("my curve-1.0") is True


def test_a_score_that_is_no_number_is_refused(module):
    with pytest.raises(ValueError, match="no face in the picture"):
        collect(module, 0.5, float("nan"), "a=1")


@pytest.fixture
def curve(module):
    runs = collect(module, 0.9, 0.2, "denoise=0.9, weight=1", "mine")[3]
    return collect(module, 0.1, 0.8, "denoise=0.1, weight=0", "mine", runs)[2]


def dial(module, place, curve, settings=""):
    return module.VisageDial.execute(place, curve, settings).args


def test_the_dial_gives_the_settings_in_the_curves_order(module, curve):
    denoise, weight, third, fourth, table = dial(module, 0.25, curve)
    assert (denoise, weight) == pytest.approx((0.7, 0.75))
    assert "gives 2 settings: denoise, weight" in third.message == fourth.message
    assert table.splitlines()[2].split() == [">", "0.25", "0.7", "0.75", "0.700", "0.350"]


def test_outputs_can_be_named(module, curve):
    assert dial(module, 1, curve, "weight, denoise")[:2] == pytest.approx((0, 0.1))
    with pytest.raises(ValueError, match="no setting 'steps'; it has: denoise, weight"):
        dial(module, 1, curve, "steps")


def test_a_kept_curve_is_named_and_read_again_when_it_changes(module, curve):
    assert dial(module, 0, "mine")[0] == 0.9
    before = module.VisageDial.fingerprint_inputs(curve="mine")
    collect(module, 0.95, 0.1, "denoise=1, weight=1", "mine")
    assert module.VisageDial.fingerprint_inputs(curve="mine") != before
    assert dial(module, 0, "mine")[0] == 1


def test_a_missing_or_broken_curve_says_what_to_give(module, curve):
    with pytest.raises(FileNotFoundError, match="No curve 'theirs'.*there are: mine"):
        dial(module, 0, "theirs")
    for text in ("", "{", "[]"):
        with pytest.raises(ValueError, match="JSON of the node Trade-off"):
            dial(module, 0, text)
