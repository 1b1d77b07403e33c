"""`visage tradeoff` against a stand-in server whose Trade-off node gives known scores."""

import csv
import io
import json

import pytest

pytest.importorskip("aiohttp")
from visage.cli.main import main
from visage.headless.sweep import combinations, label_of, parse_dials
from visage.techniques.tradeoff import from_json


def test_dials_are_read_and_combined():
    dials = parse_dials(["Sampler.denoise=0.3, 0.5", "A.b=1"])
    assert dials == {"Sampler.denoise": ["0.3", "0.5"], "A.b": ["1"]}
    assert [label_of(choice) for choice in combinations(dials)] == [
        "Sampler.denoise=0.3, A.b=1",
        "Sampler.denoise=0.5, A.b=1",
    ]
    assert combinations({}) == [{}]


@pytest.mark.parametrize("text", ["Sampler.denoise", "denoise=1", "A.b=", "A.b=1,soft"])
def test_a_dial_needs_a_place_and_numbers(text):
    with pytest.raises(ValueError, match="is not of the form title.input=a,b,c"):
        parse_dials([text])


def test_a_dial_is_given_once():
    with pytest.raises(ValueError, match="given twice"):
        parse_dials(["A.b=1", "A.b=2"])


@pytest.fixture
def scored(tmp_path, workflow):
    """The usual workflow with Trade-off nodes of these labels."""

    def write(*labels):
        path = workflow()
        prompt = json.loads(path.read_text())
        for number, label in enumerate(labels):
            prompt[f"9{number}"] = {
                "class_type": "VisageTradeoff",
                "inputs": {"label": label, "keep": "old sweeps"},
                "_meta": {"title": f"Trade-off {number}"},
            }
        path.write_text(json.dumps(prompt))
        return path

    return write


def tradeoff(capsys, *words):
    """Exit code, and rows of the table that was printed."""
    code = main(["tradeoff", *map(str, words)])
    return code, list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_every_combination_is_run_and_drawn(shared, scored, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("--server", shared.url, "--out", out, "--dial", "Work.seconds=0.01,0.02")
    code, rows = tradeoff(capsys, scored("mine"), *words)
    assert code == 0
    assert [(row["label"], float(row["style"])) for row in rows] == [
        ("Work.seconds=0.01", 0.1),
        ("Work.seconds=0.02", 0.2),
    ]
    assert rows[1]["Work.seconds"] == "0.02" and rows[1]["on_front"] == "1"
    names = {path.name for path in out.iterdir()}
    assert {"tradeoff.png", "tradeoff.csv", "tradeoff.json"} <= names
    assert (out / "Work.seconds=0.02" / "work_Result.png").is_file()
    assert len(json.loads((out / "tradeoff.json").read_text())["runs"]) == 2


def test_a_second_call_runs_nothing_again(fake, scored, tmp_path, capsys):
    words = ("--server", fake.url, "--out", tmp_path / "out", "--dial", "Work.seconds=0.01,0.02")
    first = tradeoff(capsys, scored("mine"), *words)
    assert tradeoff(capsys, scored("mine"), *words) == first
    assert len(fake.runs()) == 2


def test_a_folder_of_pictures_is_averaged(shared, scored, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x" * 20)
    (folder / "b.png").write_bytes(b"x" * 40)
    words = ("--server", shared.url, "--out", tmp_path / "out", "--input", folder)
    _, (row,) = tradeoff(capsys, scored("mine"), *words, "--dial", "Work.seconds=0.01")
    assert float(row["identity"]) == pytest.approx(0.3)


def test_several_trade_off_nodes_keep_their_labels(shared, scored, tmp_path, capsys):
    """And curves that the workflow keeps from earlier sweeps are left alone."""
    words = ("--server", shared.url, "--out", tmp_path / "out")
    _, rows = tradeoff(capsys, scored("a=1", "a=2"), *words, "--dial", "Work.seconds=0.01")
    assert [row["label"] for row in rows] == ["Work.seconds=0.01, a=1", "Work.seconds=0.01, a=2"]
    _, rows = tradeoff(capsys, scored("a=1"), *words)
    assert [row["label"] for row in rows] == ["a=1"]


def test_a_sweep_in_which_everything_failed_has_no_curve(fake, scored, tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x" * 20)
    path = scored("mine")
    words = ("--server", fake.url, "--out", tmp_path / "out", "--input", folder)
    code = main(["tradeoff", str(path), *map(str, words), "--set", "Work.conduct=fail"])
    assert code == 2
    assert "no run was finished (1 failed)" in capsys.readouterr().err


def test_a_target_is_found_between_the_ends_of_a_dial(shared, scored, tmp_path, capsys):
    """The stand-in's style is ten times the seconds that it works."""
    out = tmp_path / "out"
    words = ("--server", shared.url, "--out", out, "--dial", "Work.seconds=0.005,0.03")
    code, rows = tradeoff(capsys, scored("mine"), *words, "--target", "style=0.2")
    target = json.loads((out / "tradeoff.json").read_text())["target"]
    assert code == 0
    assert target["met"] and target["runs"] == len(rows) <= 8
    assert 0 <= target["error"] <= 0.02
    assert target["settings"]["Work.seconds"] == pytest.approx(0.02, abs=0.002)
    assert from_json((out / "tradeoff.json").read_text())[0].style == pytest.approx(0.05)


def test_a_target_that_is_out_of_reach_is_exit_code_1(shared, scored, tmp_path, capsys):
    words = ("--server", shared.url, "--out", tmp_path / "out", "--target", "style=0.9")
    code = main(
        ["tradeoff", str(scored("mine")), *map(str, words), "--dial", "Work.seconds=0,0.03"]
    )
    assert code == 1
    assert "style 0.9 in 2 runs: no value reaches it" in capsys.readouterr().err


@pytest.mark.parametrize("dials", [[], ["A.b=1"], ["A.b=1,2,3"], ["A.b=1,2", "A.c=1,2"]])
def test_a_target_wants_one_dial_with_two_ends(dials, scored, tmp_path, capsys):
    words = [word for dial in dials for word in ("--dial", dial)]
    out = ["--out", str(tmp_path / "out"), "--target", "identity=0.6"]
    assert main(["tradeoff", str(scored("a")), *out, *words]) == 2
    assert "one --dial with the two ends" in capsys.readouterr().err


def test_what_cannot_be_swept_is_refused_before_anything_runs(
    fake, scored, workflow, tmp_path, capsys
):
    words = ["--server", fake.url, "--out", str(tmp_path / "out")]
    assert main(["tradeoff", str(workflow()), *words]) == 2
    assert "no node Trade-off" in capsys.readouterr().err
    assert main(["tradeoff", str(scored("a")), *words, "--dial", "Gone.seconds=1"]) == 2
    assert '"Gone"' in capsys.readouterr().err
    assert fake.runs() == []
