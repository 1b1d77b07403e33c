"""A sweep of a workflow's dials as one batch."""

import json
import re
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest
from PIL import Image
from visage.batch.pipeline import Report
from visage.batch.records import Record, Records
from visage.batch.runner import Made
from visage.batch.sources import open_pictures
from visage.batch.sweep import SweepJob, Swept
from visage.cli.main import main

from .conftest import node


class ScoringRunner:
    """Stands for an engine: what it scores depends on the dial and the picture."""

    prompt: ClassVar[dict] = {}

    def run(self, name, picture, settings):
        from visage.techniques.tradeoff import as_csv, make_run

        dial = float(settings["Sampler.denoise"])
        if name == "bad.png":
            raise ValueError("no face")
        run = make_run(f"denoise={dial:g}", dial, 1 - dial + 0.1 * int(name == "000.png"))
        return Made({}, {"Curve": as_csv([run]), "Other": "not a table"})


@dataclass(frozen=True)
class ScoringJob(SweepJob):
    def start(self):
        return ScoringRunner()


@pytest.fixture
def workflow(tmp_path):
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"1": node("VisageTradeoff", "Curve", keep="mine", label="x")}))
    return path


def test_crosses_pictures_and_dials(pictures):
    source = Swept(open_pictures(str(pictures(2))), {"A.x": ["1", "2"], "B.y": ["3"]})
    parts = source.parts(frozenset())
    assert [part["id"] for part in parts] == [
        "A.x=1_B.y=3/000", "A.x=1_B.y=3/001", "A.x=2_B.y=3/000", "A.x=2_B.y=3/001",
    ]  # fmt: skip
    assert json.loads(parts[2]["settings"]) == {"A.x": "2", "B.y": "3"}
    assert len(source.parts({parts[0]["key"]})) == 3
    assert source.labels["A.x=2_B.y=3/001"] == "A.x=2, B.y=3"


def test_keeps_no_runs_of_other_sweeps(workflow):
    (scorer,) = SweepJob.read(workflow).prompt({}).values()
    assert scorer["inputs"]["keep"] == ""


def test_draws_the_curve(workflow, pictures, tmp_path, local_ray, monkeypatch, capsys):
    local_ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("visage.batch.sweep.SweepJob", ScoringJob)
    folder, out = pictures(2), tmp_path / "out"
    (folder / "bad.png").write_bytes(b"x")
    words = ["tradeoff", workflow, "--dial", "Sampler.denoise=0.2,0.6", "--input", folder]
    words += ["--out", out, "--address", "local", "--json"]
    assert main(list(map(str, words))) == 1  # the picture without a face
    curve = json.loads(capsys.readouterr().out)
    found = {(round(run["style"], 3), round(run["identity"], 3)) for run in curve["runs"]}
    assert found == {(0.2, 0.85), (0.6, 0.45)}
    with Image.open(out / "tradeoff.png") as drawn:
        assert drawn.format == "PNG"


@pytest.fixture
def without_ray(monkeypatch):
    """A batch in this process: every picture of the source in order, by the stand-in's runner."""
    pytest.importorskip("pyarrow", reason="Ray is not installed: pip install -e '.[scale]'")
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")

    def run_job(job, source, out, scale, heard):
        records = Records(out)
        for part in source.parts(records.done()):
            record = Record(part["id"], part["key"], finished=time.time())
            try:
                made = job.start().run(part["name"], b"", json.loads(part["settings"]))
                record.texts = made.texts
            except ValueError as error:
                record.error = str(error)
            records.write(record)
        return Report(*records.fold())

    monkeypatch.setattr("visage.batch.sweep.run_job", run_job)
    monkeypatch.setattr("visage.batch.sweep.SweepJob", ScoringJob)


def test_failures_of_earlier_sweeps_in_the_folder_do_not_count(
    workflow, pictures, tmp_path, without_ray, capsys
):
    folder = pictures(2)
    words = ["tradeoff", workflow, "--input", folder, "--out", tmp_path / "out"]
    words = [*map(str, words), "--address", "local", "--dial"]
    (folder / "bad.png").write_bytes(b"x")
    assert main([*words, "Sampler.denoise=0.2,0.4"]) == 1
    assert "2 runs, 2 failed" in capsys.readouterr().err
    (folder / "bad.png").unlink()
    assert main([*words, "Sampler.denoise=0.6,0.8"]) == 0
    assert "2 runs, 0 failed" in capsys.readouterr().err
    # Of the same settings too, once the picture is gone.
    assert main([*words, "Sampler.denoise=0.2,0.4"]) == 0


def test_a_search_counts_each_failure_once(workflow, pictures, tmp_path, without_ray, capsys):
    folder = pictures(2)
    (folder / "bad.png").write_bytes(b"x")
    words = ["tradeoff", workflow, "--input", folder, "--out", tmp_path / "out"]
    words += ["--address", "local", "--dial", "Sampler.denoise=0.2,0.9"]
    assert main([*map(str, words), "--target", "identity=0.3"]) == 1
    said = capsys.readouterr().err
    runs, failed = re.search(r"(\d+) runs, (\d+) failed", said).groups()
    assert int(runs) > 2 and failed == runs  # one picture in each


def test_asks_for_pictures_and_a_trade_off_node(workflow, pictures, tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")
    words = ["tradeoff", str(workflow), "--address", "local", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "--address needs --input" in capsys.readouterr().err
    workflow.write_text(json.dumps({"1": node("SaveImage", "Result")}))
    assert main([*words, "--input", str(pictures(1))]) == 2
    assert "has no node Trade-off" in capsys.readouterr().err
