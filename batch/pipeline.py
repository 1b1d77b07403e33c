"""A batch from its source to its table, streamed through Ray Data."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .cluster import ray_cluster
from .job import Job
from .records import REPORT, Record, Records, claim
from .sources import Folder, Source
from .store import Store
from .worker import Ledger, Reader, Worker

# Pictures in one task of a worker: Ray's overhead is per task. The task of a lost worker is
# repeated, but its finished pictures only cost a look-up.
ROWS_A_TASK = 8
# Bytes of a block of pictures between readers and workers.
BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Scale:
    """How much of a cluster a batch uses.

    `actors` None means as many workers as the GPUs allow, or one without a GPU. `max_errors` None
    means that failures never stop the batch."""

    actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: float | None = None
    max_errors: int | None = None
    address: str | None = None


@dataclass
class Report:
    """The outcome of a batch.

    `done` and `failed` count all pictures of the output folder, including earlier runs; `skipped`
    counts those that this run found done."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    ran: int = 0
    actors: int = 0
    seconds: float = 0.0
    startup_seconds: float = 0.0
    pictures_per_hour: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    stopped: str = ""


Listener = Callable[[Record, int, int | None], None]
"""Called for each picture with its record, the number so far, and the total if known."""


def run_job(job: Job, source: Source, out: Store, scale: Scale, heard: Listener) -> Report:
    """Run a job on every picture of a source that `out` does not hold yet.

    A failed picture is recorded and the batch continues. Raises ValueError when no picture can be
    run at all, such as for a workflow that the engine refuses.
    """
    start = time.monotonic()
    claim(out, job.identity())
    records = Records(out)
    done = frozenset(records.done())
    parts = source.parts(done)
    report = Report()
    if not isinstance(source, Folder):
        total = None if source.total is None else max(0, source.total - len(done))
    else:
        total, report.skipped = len(parts), source.total - len(parts)
    if parts:
        with ray_cluster(scale.address, scale.actors or 1) as ray:
            _stream(ray, job, source, out, scale, (parts, done, total), report, heard, start)
    report.done, report.failed = records.fold()
    out.remove_parts()
    if not isinstance(source, Folder):
        report.skipped = len(done)
    report.seconds = time.monotonic() - start
    out.write(REPORT, json.dumps(asdict(report), indent=2).encode())
    return report


def _stream(
    ray: Any, job: Job, source: Source, out: Store, scale: Scale, work: tuple, report: Report,
    heard: Listener, start: float,
) -> None:  # fmt: skip
    parts, done, total = work
    gpus, actors = _resources(ray, scale)
    report.actors = actors
    ledger = _ledger(ray)
    dataset = _dataset(ray, job, source, out, scale, parts, done, gpus, actors, ledger)
    stages: Counter[str] = Counter()
    first = 0.0
    try:
        for record in _outcomes(dataset):
            if isinstance(record, str):
                report.stopped = record
                break
            report.ran += 1
            if not first:
                first = time.monotonic()
                report.startup_seconds = first - start - record.stages.get("all", 0.0)
            stages.update(record.stages)
            if record.error:
                report.errors[record.error] = report.errors.get(record.error, 0) + 1
            heard(record, report.ran, total)
            wrong = sum(report.errors.values())
            if scale.max_errors is not None and wrong > scale.max_errors:
                report.stopped = f"{wrong} pictures failed, and --max-errors is {scale.max_errors}"
                break
    except KeyboardInterrupt:
        report.stopped = "stopped by the user"
    finally:
        ray.kill(ledger)
    running = max(time.monotonic() - start - report.startup_seconds, 1e-9)
    report.pictures_per_hour = 3600 * report.ran / running
    report.stages = {name: value / report.ran for name, value in stages.items()}


def _ledger(ray: Any) -> Any:
    """Start the ledger as an actor, if possible on this node, whose loss ends the batch anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    return ray.remote(Ledger).options(scheduling_strategy=here, **options).remote()


def _resources(ray: Any, scale: Scale) -> tuple[float, int]:
    """The GPUs of each worker, and the number of workers."""
    there = ray.cluster_resources().get("GPU", 0)
    gpus = scale.gpus_per_actor
    if gpus is None:
        gpus = 1.0 if there else 0.0
    if gpus > there:
        raise ValueError(
            f"--gpus-per-actor is {gpus:g}, and the cluster has {there:g} GPUs; 0 runs on CPUs"
        )
    return gpus, scale.actors or (max(1, int(there / gpus)) if gpus else 1)


def _dataset(
    ray: Any, job: Job, source: Source, out: Store, scale: Scale, parts: list[dict],
    done: frozenset[str], gpus: float, actors: int, ledger: Any,
) -> Any:  # fmt: skip
    import ray.data

    # Set after the import, which sets its own level; its plans and bars are of no use here.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    # Ray restarts lost workers; an error in the code itself ends the batch.
    context.max_errored_blocks = 0
    if isinstance(source, Folder):
        blocks = max(1, min(len(parts), max(2 * actors, -(-len(parts) // ROWS_A_TASK))))
        rows = ray.data.from_items(parts, override_num_blocks=blocks)
    else:
        read = Reader(source, done)
        rows = ray.data.from_items(parts, override_num_blocks=len(parts)).flat_map(
            read, num_cpus=0.25
        )
    return rows.map(
        Worker,
        fn_constructor_args=(job, source.store, out, ledger),
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=0.5 if scale.cpus_per_actor is None else scale.cpus_per_actor,
        num_gpus=gpus or None,
    )


def _outcomes(dataset: Any) -> Iterator[Record | str]:
    """Yield the records as they come, or a text if the batch cannot continue."""
    for row in dataset.iter_rows():
        outcome = json.loads(row["outcome"])
        if "refused" in outcome:
            raise ValueError(f"no picture can be run: {outcome['refused']}")
        yield outcome["stop"] if "stop" in outcome else Record(**outcome)
