"""`visage evaluate starter`: figures on stdout, progress on stderr, the whole report in a file."""

import json

import pytest

pytest.importorskip("diffusers")

from visage.cli import main
from visage.evaluation import starter


@pytest.fixture
def asked(monkeypatch) -> list:
    """Measure nothing; the list receives the sample that was asked for."""
    samples = []

    def evaluate(sample, say):
        samples.append(sample)
        say("face parser: some portraits")
        return starter.StarterReport(
            {"parser_miou": 0.5, "total_mib": 30.0}, {"smile": 1.0}, sample
        )

    monkeypatch.setattr(starter, "evaluate", evaluate)
    return samples


def test_json_is_one_object_of_figures_and_progress_goes_to_stderr(asked, capsys):
    assert main.main(["evaluate", "starter", "--quick", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"parser_miou": 0.5, "total_mib": 30.0}
    assert shown.err == "face parser: some portraits\n"
    assert asked == [starter.QUICK]


def test_a_table_names_the_attributes_too_and_the_file_keeps_the_samples(asked, capsys, tmp_path):
    path = tmp_path / "new" / "figures.json"
    assert main.main(["evaluate", "starter", "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "parser_miou" in shown
    assert "smile" in shown
    assert asked == [starter.FULL]
    kept = json.loads(path.read_text())
    assert kept["figures"] == {"parser_miou": 0.5, "total_mib": 30.0}
    assert kept["attributes"] == {"smile": 1.0}
    assert kept["samples"]["portraits"] == starter.FULL.portraits
