"""`visage evaluate starter`: figures on stdout, progress on stderr, the whole report in a file."""

import json

import pytest
from PIL import Image

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


@pytest.fixture
def photos_asked(monkeypatch) -> list:
    """Edit nothing; the list receives what was asked for."""
    import numpy as np
    from visage.evaluation import photo_edits

    asked = []

    def photo_figures(folder, count, starter, denoise, say):
        asked.append((folder, count, starter, denoise))
        say("edits: some photographs")
        orange = np.full((8, 8, 3), (200, 100, 0), np.uint8)
        portrait = photo_edits.Portrait("a.png", "people", orange, {})
        edit = photo_edits.Edit(portrait, "", portrait.image, np.ones((8, 8)), None, None)
        figures = {"photo_face_found": photo_edits.Figure(0.9, 10, 0.6, 0.98)}
        return photo_edits.PhotoReport(figures, {"hat": (1, 2)}, {"hat": 0.8}, [edit])

    monkeypatch.setattr(photo_edits, "photo_figures", photo_figures)
    return asked


def test_figures_on_photographs_come_with_counts_and_intervals(photos_asked, capsys, tmp_path):
    sheet = tmp_path / "other" / "s.PNG"
    files = ["--out", str(tmp_path / "new" / "f.json"), "--sheet", str(sheet)]
    command = ["evaluate", "starter", "--photos", str(tmp_path), "--denoise", "0.6", "--json"]
    assert main.main([*command, *files]) == 0
    expected = {"value": 0.9, "count": 10, "low": 0.6, "high": 0.98}
    shown = json.loads(capsys.readouterr().out)
    assert shown["denoise"] == 0.6 and shown["figures"] == {"photo_face_found": expected}
    assert shown["attributes"] == {"hat": [1, 2]} and shown["judge_accuracy"] == {"hat": 0.8}
    assert json.loads((tmp_path / "new" / "f.json").read_text()) == shown
    assert Image.open(sheet).getpixel((9, 9)) == (200, 100, 0)
    assert photos_asked == [(tmp_path, 100, starter.STARTER, 0.6)]
    assert main.main(["evaluate", "starter", "--photos", str(tmp_path), "--quick"]) == 0
    table = capsys.readouterr().out
    assert "0.900  95 %: 0.600 to 0.980  (10 pictures)" in table
    assert "1 of 2, judge right in 0.80" in table
    assert photos_asked[-1][1] == 6


def test_a_sheet_or_file_that_cannot_be_written_is_refused_before_the_measuring(
    photos_asked, capsys, tmp_path
):
    (tmp_path / "notes").write_text("keep me")
    command = ["evaluate", "starter", "--photos", str(tmp_path)]
    assert main.main([*command, "--sheet", str(tmp_path / "s.xyz")]) == 2
    assert "s.xyz; expected a name that ends in .png" in capsys.readouterr().err
    for option, name in (("--sheet", "s.png"), ("--out", "f.json")):
        assert main.main([*command, option, str(tmp_path / "notes" / name)]) == 2
        assert "notes is a file where a folder is needed" in capsys.readouterr().err
    assert photos_asked == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--sheet", "s.png"], "--sheet"),
        (["--count", "0"], "--count"),
        (["--count", "100", "--denoise", "1.0"], "--count, --denoise"),
    ],
)
def test_what_is_for_photographs_alone_needs_them(asked, capsys, given, named):
    assert main.main(["evaluate", "starter", *given]) == 2
    assert f"{named} needs --photos" in capsys.readouterr().err
    assert asked == []


def test_too_few_edits_are_refused(asked, capsys, tmp_path):
    assert main.main(["evaluate", "starter", "--photos", str(tmp_path), "--count", "2"]) != 0
    assert "--count is 2" in capsys.readouterr().err
    assert asked == []
