"""Whole batches on a local Ray: every picture once, whatever dies on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from visage.batch.pipeline import Scale, run_job
from visage.batch.sources import open_source
from visage.batch.store import Store
from visage.cli.main import main

from .conftest import LightJob

pytestmark = pytest.mark.usefixtures("light")


def run(*words: object) -> int:
    return main(["batch", *map(str, words), "--engine", "diffusers"])


def table(out: Path) -> dict[str, dict]:
    """The rows of a batch's table by id; each id is there once."""
    from pyarrow import parquet

    rows = parquet.read_table(out / "results.parquet").to_pylist()
    counted = Counter(row["id"] for row in rows)
    assert set(counted.values()) <= {1}
    return {row["id"]: row for row in rows}


def files(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "pictures").rglob("*") if path.is_file())


def test_every_picture_once_and_only_what_is_missing_the_next_time(
    workflow, pictures, tmp_path, capsys
):
    folder, out = pictures(4), tmp_path / "out"
    (folder / "bad.png").write_bytes(b"no picture")
    assert run(workflow(), folder, "--out", out, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["done"], report["failed"], report["skipped"]) == (4, 1, 0)
    rows = table(out)
    assert rows["bad"]["error"] == "bad.png is no picture"
    good = rows["003"]
    assert good["files"] == ["pictures/003_Result.png"]
    assert dict(good["texts"]) == {"Report": '{"side": 7}'}
    assert dict(good["numbers"]) == {"Report.side": 7.0}
    assert (np.asarray(Image.open(out / good["files"][0])) == 255 - 15).all()
    assert len(files(out)) == 4
    assert not list(out.glob("records/*/*.json"))

    before = {path: path.stat().st_mtime_ns for path in out.glob("pictures/*")}
    for name in ("bad", "more"):
        Image.new("RGB", (9, 9)).save(folder / f"{name}.png")
    assert run(workflow(), folder, "--out", out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["done"], report["skipped"], report["ran"]) == (6, 4, 2)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert not table(out)["bad"]["error"]

    assert run(workflow(), folder, "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ran"] == 0
    assert len(table(out)) == 6

    assert run(workflow(16), folder, "--out", out) == 2
    assert "holds the results of another batch (workflow differ)" in capsys.readouterr().err


def test_takes_no_folder_that_a_user_has_filled(workflow, pictures, capsys):
    folder = pictures(1)
    assert run(workflow(), folder, "--out", folder) == 2
    assert "is not empty, and no batch has written it" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["000.png"]


def test_reads_tars_and_goes_on_after_a_broken_one(workflow, tmp_path):
    from .test_sources import png, write_tar

    write_tar(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(3)})
    write_tar(tmp_path / "b.tar", {})
    (tmp_path / "c.tar").write_bytes(b"broken" * 200)
    assert run(workflow(), f"{tmp_path}/*.tar", "--out", f"file://{tmp_path}/out") == 1
    rows = table(tmp_path / "out")
    assert sorted(rows) == ["a/0", "a/1", "a/2", "c/unreadable"]
    assert "c.tar cannot be read" in rows["c/unreadable"]["error"]
    assert len(files(tmp_path / "out")) == 3


def test_stops_after_too_many_errors_and_keeps_what_is_done(workflow, pictures, tmp_path, capsys):
    folder = pictures(1)
    for number in range(30):
        (folder / f"bad {number}.png").write_bytes(b"no picture")
    assert run(workflow(), folder, "--out", tmp_path / "out", "--max-errors", 3) == 1
    assert "--max-errors is 3" in capsys.readouterr().err
    assert 4 <= len(table(tmp_path / "out")) <= 31


def test_says_in_a_line_why_no_picture_can_be_run(workflow, pictures, tmp_path, capsys):
    words = [workflow(), pictures(2), "--out", tmp_path / "out", "--set", "Sise.width=3"]
    assert run(*words) == 2
    said = capsys.readouterr().err.strip()
    assert said == 'visage: no picture can be run: 0 nodes are titled "Sise"'
    assert run(*words, "--gpus-per-actor", 64) == 2
    assert "--gpus-per-actor is 64, and the cluster has" in capsys.readouterr().err


def test_a_full_disk_ends_the_batch_in_a_line(workflow, pictures, tmp_path):
    job = LightJob.read(workflow(), engine="diffusers")
    source, out = open_source(str(pictures(20))), FullStore(str(tmp_path / "out"))
    report = run_job(job, source, out, Scale(), lambda *_: None)
    assert report.stopped.startswith("cannot write to ")
    assert "No space left on device" in report.stopped
    assert report.done == 3
    assert len(table(tmp_path / "out")) == 3


class FullStore(Store):
    """Has room for three pictures."""

    def __reduce__(self):
        return FullStore, (self.address,)

    def write(self, name: str, data: bytes) -> None:
        if name.startswith("pictures/") and len(self.files.glob(self.path("pictures/*"))) > 2:
            raise OSError(28, "No space left on device")
        super().write(name, data)


def test_lost_workers_cost_no_picture_but_the_one_that_kills_each(workflow, pictures, tmp_path):
    killed = []

    def kill(record, count, total):
        if count in (3, 9):
            killed.append(int(record.node.split()[1]))
            with contextlib.suppress(ProcessLookupError):  # it may be gone by itself
                os.kill(killed[-1], signal.SIGKILL)

    folder = pictures(24)
    (folder / "crash.png").write_bytes((folder / "000.png").read_bytes())
    job = LightJob.read(workflow(), engine="diffusers", timeout=0.05)
    out = Store(str(tmp_path / "out"))
    report = run_job(job, open_source(str(folder)), out, Scale(actors=2), kill)
    assert len(killed) == 2
    assert (report.done, report.failed) == (24, 1)
    assert table(tmp_path / "out")["crash"]["error"] == "given up: it took its worker down 3 times"
    assert files(tmp_path / "out") == [f"{n:03}_Result.png" for n in range(24)]


def test_a_killed_driver_is_taken_up_again(workflow, pictures, tmp_path):
    out = tmp_path / "out"
    words = [workflow(900), pictures(12), "--out", out, "--engine", "diffusers"]
    command = [sys.executable, "-m", "visage.cli.main", "batch", *map(str, words)]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603
    deadline = time.monotonic() + 300
    while len(list(out.glob("records/*/*.json"))) < 2:
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    time.sleep(1)  # its workers end with it
    kept = {p: p.stat().st_mtime_ns for p in out.glob("pictures/*") if not p.name.startswith(".")}
    finished = len(list(out.glob("records/*/*.json")))
    assert finished < 12
    assert main(["batch", *map(str, words)]) == 0
    assert len(table(out)) == 12
    assert files(out) == [f"{n:03}_Result.png" for n in range(12)]
    again = [path for path, when in kept.items() if path.stat().st_mtime_ns != when]
    # A picture without a record is made again, and no other.
    assert len(again) == len(kept) - finished <= 1
