"""`visage batch`: run a workflow for very many pictures, here or on a Ray cluster."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .output import say

if TYPE_CHECKING:
    from ..batch.records import Record


def add_batch_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage batch` to the command line."""
    parser = subparsers.add_parser(
        "batch",
        help="run a workflow for very many pictures, on this machine or a Ray cluster",
        description="Run a workflow once for every picture of a folder, of Parquet files or of "
        "WebDataset tars, with its own workers. If it was stopped or killed, start it again to run "
        "what is missing. Exit code 1 if any picture failed, 2 if none could be run.",
    )
    parser.add_argument("workflow", type=Path, help="a .json file in canvas or API form")
    parser.add_argument(
        "input", help="a folder, a .parquet or .tar file, a pattern, or an address (s3://...)"
    )
    parser.add_argument("--out", required=True, help="a new folder or address to write")
    parser.add_argument(
        "--engine",
        choices=("comfyui", "diffusers"),
        default="comfyui",
        help="comfyui: each worker has a headless ComfyUI of its own; diffusers: without ComfyUI, "
        "for the face edit, style transfer, and scores (default: comfyui)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="TITLE.INPUT=VALUE",
        help="set an input of the node with that title, as for `visage queue`; may be repeated",
    )
    parser.add_argument(
        "--into",
        metavar="TITLE",
        help="the node that takes the pictures (default: Picture, or the only one)",
    )
    parser.add_argument("--column", help="Parquet: the column of pictures")
    parser.add_argument("--id-column", help="Parquet: the column of unique names; '' for none")
    parser.add_argument("--models", type=Path, metavar="DIR", help="ComfyUI's folder of models")
    parser.add_argument("--comfyui", type=Path, metavar="DIR", help="ComfyUI's own folder")
    parser.add_argument("--address", help="a Ray cluster (default: local, this machine alone)")
    parser.add_argument("--actors", type=_positive, help="workers (default: one per GPU, or one)")
    parser.add_argument(
        "--gpus-per-actor",
        type=float,
        metavar="N",
        help="GPUs of a worker, as 0.5 (default: 1)",
    )
    parser.add_argument(
        "--cpus-per-actor", type=float, metavar="N", help="logical CPUs of a worker (default: 0.5)"
    )
    parser.add_argument(
        "--max-errors", type=int, metavar="N", help="stop when more pictures than this have failed"
    )
    parser.add_argument(
        "--previews", action="store_true", help="keep the pictures of preview nodes, too"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="give up a picture that runs for longer"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(run=_run)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _run(options: argparse.Namespace) -> int:
    from ..batch.cluster import here_or, require_ray

    require_ray()
    from ..batch.job import Job
    from ..batch.pipeline import Scale, run_job
    from ..batch.sources import open_source
    from ..batch.store import Store

    job = Job.read(
        options.workflow,
        tuple(options.settings),
        engine=options.engine,
        into=options.into,
        models=str(options.models.resolve()) if options.models else None,
        comfyui=str(options.comfyui.resolve()) if options.comfyui else None,
        previews=options.previews,
        timeout=options.timeout,
    )
    out = Store(options.out)
    source = open_source(options.input, options.column, options.id_column, out)
    scale = Scale(
        options.actors,
        options.gpus_per_actor,
        options.cpus_per_actor,
        options.max_errors,
        here_or(options.address or "local"),
    )
    report = run_job(job, source, out, scale, show)
    say(
        f"{report.done} done ({report.skipped} of them before), {report.failed} failed: "
        f"see {options.out}"
    )
    if report.stopped:
        say(f"stopped: {report.stopped}. The same command continues from here.")
    if options.json:
        print(json.dumps(asdict(report)))
    return 1 if report.failed or report.stopped else 0


def show(record: Record, count: int, total: int | None) -> None:
    """Print the outcome of a picture to standard error."""
    state = f"FAILED: {record.error}" if record.error else f"{record.seconds:.1f} s"
    of_all = f"/{total}" if total is not None else ""
    say(f"[{count}{of_all}] {record.id}: {state}")
