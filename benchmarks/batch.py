"""The cost of `visage batch`, and how it survives kills.

Drawn portraits are enlarged without a diffusion model, so that the batch itself is measured. Kills
are on a cluster of two Ray nodes on this machine (separate processes that communicate over TCP): a
worker, the driver and the second node take turns at random times. The engine there is a stand-in
that waits, as for a GPU.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..batch.cluster import QUIET, ray_cluster, require_ray
from ..batch.job import Job
from ..batch.pipeline import Scale, run_job
from ..batch.records import TABLE, Record
from ..batch.runner import Made
from ..batch.sources import open_source
from ..batch.store import Store
from ..batch.worker import Worker
from . import say

SIDE, ENLARGED = 128, 1024
VICTIMS = ("worker", "driver", "node")
# Seconds of the stand-in for a picture.
WAIT = 0.2
# Number of attempts to start a node.
ATTEMPTS = 4
# Seconds between two kills.
PAUSE = (1.0, 20.0)


def run(quick: bool) -> dict[str, float]:
    """The figures by name; docs/scale.md describes them."""
    require_ray()
    count, many, kills = (40, 300, 3) if quick else (200, 2000, 20)
    with tempfile.TemporaryDirectory(prefix="visage-bench-batch-") as folder:
        place = Path(folder)
        workflow = _write_workflow(place / "mask.json")
        few, thousands = _draw(place / "few", count), _copy(place / "few", place / "many", many)
        say(f"a plain loop over {count} pictures")
        alone = _plain_loop(few, place / "alone")
        with ray_cluster(workers=2):
            say(f"{count} pictures with one worker, then with two")
            one, startup = _rate(workflow, few, place / "one", 1)
            two, _ = _rate(workflow, few, place / "two", 2)
            say(f"overhead and memory over {many} pictures")
            copied, growth = _copied(place / "copied", thousands, many)
        figures = {
            "pictures": float(count),
            "throughput_ratio_two_actors": two / one,
            "overhead_per_picture_ms": 1000 * (copied - alone),
            "plain_loop_ms": 1000 * alone,
            "memory_growth_mib": growth,
            "startup_s": startup,
            "load": os.getloadavg()[1],
        }
        # Printed now, so that they are not lost if the long run is stopped.
        say(json.dumps(figures))
        say(f"{kills} kills")
        figures |= _kills(few, place / "killed", kills)
    return figures


def _write_workflow(path: Path) -> Path:
    def node(kind: str, title: str, **inputs: object) -> dict:
        return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}

    size = {"width": ENLARGED, "height": ENLARGED, "crop": "disabled"}
    workflow = {
        "1": node("LoadImage", "Picture", image="visage_portrait.png"),
        "2": node("ImageScale", "Size", image=["1", 0], upscale_method="lanczos", **size),
        "3": node("SaveImage", "Result", images=["2", 0]),
    }
    path.write_text(json.dumps(workflow))
    return path


def _draw(folder: Path, count: int) -> Path:
    from PIL import Image

    from ..world import portrait

    folder.mkdir()
    for number in range(count):
        drawn = portrait(number % 20, size=SIDE, split="test").image
        # All different, because an equal picture comes from the cache and costs nothing.
        Image.fromarray(drawn ^ (number // 20)).save(folder / f"{number:04}.png")
    return folder


def _copy(source: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    pictures = sorted(source.iterdir())
    for number in range(count):
        os.link(pictures[number % len(pictures)], folder / f"{number:05}.png")
    return folder


def _plain_loop(folder: Path, out: Path) -> float:
    """Seconds per picture of a loop in this process that reads, copies, writes and records."""
    source = open_source(str(folder))
    rows = [row for part in source.parts(frozenset()) for row in source.rows(part)]
    worker = Worker(_CopyJob({}), source.store, Store(str(out)), None)
    start = time.perf_counter()
    for row in rows:
        worker.work_on(row, 1)
    return (time.perf_counter() - start) / len(rows)


def _rate(workflow: Path, folder: Path, out: Path, actors: int) -> tuple[float, float]:
    """Pictures per second while all workers are busy, and the seconds until the first began."""
    heard: list[Record] = []
    job, source = Job.read(workflow, engine="diffusers"), open_source(str(folder))
    report = run_job(
        job, source, Store(str(out)), Scale(actors=actors), lambda record, *_: heard.append(record)
    )
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for record in sorted(heard, key=lambda record: record.finished):
        first.setdefault(record.node, record.finished)
        last[record.node] = record.finished
    begin, end = max(first.values()), min(last.values())
    if len(first) < actors or end <= begin:
        raise ValueError("the workers were never all busy: give them more pictures")
    together = sum(begin < record.finished <= end for record in heard)
    return together / (end - begin), report.startup_seconds


class _CopyRunner:
    """Returns the picture after some seconds."""

    prompt: dict = {}

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self, name: str, picture: bytes, settings: dict) -> Made:
        time.sleep(self.seconds)
        return Made({"_Result.png": picture}, {"Report": '{"share": 0.5}'})


class _CopyJob(Job):
    def start(self) -> _CopyRunner:
        return _CopyRunner(self.timeout or 0.0)


def _copied(out: Path, folder: Path, count: int) -> tuple[float, float]:
    """Seconds per picture of one worker that only copies, and the growth in MiB of all processes
    of the batch between its first tenth and its end."""
    seen: list[float] = []

    def watch(record: Record, done: int, total: int | None) -> None:
        if done in (count // 10, count):
            seen.append(_own_memory())

    source, store = open_source(str(folder)), Store(str(out))
    report = run_job(_CopyJob({}), source, store, Scale(actors=1), watch)
    return 3600 / report.pictures_per_hour, (seen[-1] - seen[0]) / 2**20


def _own_memory() -> float:
    """Bytes of memory used by this process and its children alone."""
    import psutil

    total = 0.0
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def _kills(folder: Path, place: Path, kills: int) -> dict[str, float]:
    """Run batches with `kills` kills in all; return what they lost or made twice."""
    chance = random.Random(7)  # noqa: S311
    left = [VICTIMS[number % len(VICTIMS)] for number in range(kills)]
    expected = len(list(folder.iterdir()))
    lost = duplicated = rounds = 0
    with _Nodes() as nodes:
        while left:
            out = place / str(rounds)
            _batch_under_fire([str(folder), str(out), nodes.address], nodes, left, chance)
            missing, twice = _verdict(out, expected)
            lost, duplicated, rounds = lost + missing, duplicated + twice, rounds + 1
            say(f"batch {rounds}: {missing} lost, {twice} twice; {len(left)} kills to go")
    return {
        "lost": float(lost),
        "duplicated": float(duplicated),
        "kills": float(kills),
        "batches_under_fire": float(rounds),
    }


class _Nodes:
    """Two Ray nodes on this machine; the second can be killed and replaced."""

    size: dict = {"num_cpus": 1, "object_store_memory": 128 * 2**20}

    def __enter__(self) -> _Nodes:
        os.environ.update(QUIET, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", OMP_NUM_THREADS="1")
        from ray.cluster_utils import Cluster

        head = {**self.size, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second = self._another()
        self.address = self.cluster.address
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.shutdown()

    def lose_one(self) -> None:
        """Kill the second node with everything on it, and add another."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self._another()

    def _another(self) -> Any:
        """Add a node, with retries, since Ray sometimes gives up waiting on a busy machine."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self.cluster.add_node(**self.size)
            except Exception as error:
                say(f"trying again: {error}")
        return self.cluster.add_node(**self.size)

    def kill_a_worker(self, chance: random.Random) -> bool:
        """Kill one worker of the batch; return False if there is none."""
        import psutil

        workers = []
        for process in psutil.Process().children(recursive=True):
            try:
                if "MapWorker" in " ".join(process.cmdline()):
                    workers.append(process)
            except psutil.Error:
                continue
        if workers:
            chance.choice(workers).send_signal(signal.SIGKILL)
        return bool(workers)


def _batch_under_fire(
    words: list[str], nodes: _Nodes, left: list[str], chance: random.Random
) -> None:
    """Restart a batch until it finishes; meanwhile kill the processes named in `left`."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, *words]
    while True:
        driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            while driver.poll() is None:
                time.sleep(chance.uniform(*PAUSE))
                if left and driver.poll() is None and _strike(left[0], driver, nodes, chance):
                    say(f"killed a {left.pop(0)}")
        finally:
            driver.kill()
            driver.wait()
        if driver.returncode == 0:
            return


def _strike(victim: str, driver: subprocess.Popen, nodes: _Nodes, chance: random.Random) -> bool:
    if victim == "worker":
        return nodes.kill_a_worker(chance)
    if victim == "node":
        nodes.lose_one()
    else:
        driver.kill()
        driver.wait()
    return True


def _verdict(out: Path, expected: int) -> tuple[int, int]:
    """Count the pictures that a finished batch lacks, and those that are there twice or in half."""
    from pyarrow import parquet

    rows = parquet.read_table(out / TABLE, columns=["id", "error", "files"]).to_pylist()
    done = {row["id"] for row in rows if not row["error"]}
    named = [name for row in rows for name in row["files"]]
    there = {path.relative_to(out).as_posix() for path in (out / "pictures").rglob("*")}
    lost = expected - len(done) + len(set(named) - there)
    return lost, len(rows) - len({row["id"] for row in rows}) + len(there - set(named))


def _drive(folder: str, out: str, address: str) -> int:
    """Run a batch; the main function of a process that can be killed."""
    scale = Scale(actors=2, cpus_per_actor=0.75, address=address)
    job = _CopyJob({}, timeout=WAIT)
    report = run_job(job, open_source(folder), Store(out), scale, lambda *_: None)
    return 1 if report.failed or report.stopped else 0


if __name__ == "__main__":
    # Workers import the job by its module's name, which must not be __main__.
    from visage.benchmarks import batch

    sys.exit(batch._drive(*sys.argv[1:]))
