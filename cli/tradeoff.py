"""`visage tradeoff`: sweep a workflow's settings, and draw the style-identity curve."""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .output import say
from .queue import Display
from .server_options import DEFAULT_SERVER, server_options


def add_tradeoff_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage tradeoff` to the command line."""
    parser = subparsers.add_parser(
        "tradeoff",
        parents=[server_options("output/tradeoff")],
        help="sweep a workflow's settings and draw how much style costs how much of the person",
        description="Run a workflow that has a Trade-off node on ComfyUI servers, once for every "
        "combination of the dials, and write the curve as tradeoff.png, .csv and .json. If it was "
        "stopped, start it again to continue. Exit code 1 if any run failed, 2 if nothing could be "
        "queued.",
    )
    parser.add_argument(
        "--dial",
        action="append",
        default=[],
        dest="dials",
        metavar="TITLE.INPUT=A,B,C",
        help='values of an input of the node with that title, as in "Sampler.denoise=0.3,0.5,0.7"; '
        "may be repeated: all combinations are run",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="TITLE.INPUT=VALUE",
        help="set an input for all runs, as for `visage queue`; may be repeated",
    )
    parser.add_argument(
        "--input", type=Path, metavar="DIR", help="average over all pictures in DIR"
    )
    parser.add_argument(
        "--address",
        help="run on a Ray cluster instead of servers, with its own workers like `visage batch`; "
        "local: on this machine. Needs --input",
    )
    parser.add_argument(
        "--engine", choices=("comfyui", "diffusers"), default="comfyui", help="with --address"
    )
    parser.add_argument("--actors", type=int, help="with --address: number of workers")
    parser.add_argument(
        "--target",
        metavar="SCORE=VALUE",
        help="find the setting with the most style that keeps the person so far, as in "
        '"identity=0.6": one --dial with the ends of its range, such as '
        '"Sampler.denoise=0.2,0.9"; at most 8 runs. Exit code 1 if it is missed by more than 0.02',
    )
    parser.add_argument("--json", action="store_true", help="print the curve as JSON at the end")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("aiohttp") is None:
        raise ValueError("`visage tradeoff` needs aiohttp, which ComfyUI has: pip install aiohttp")
    from ..headless.sweep import parse_dials
    from ..techniques.tradeoff import as_csv, as_rows, mean_runs

    dials = parse_dials(options.dials)
    run = _on_cluster if options.address else _on_servers
    found: dict[str, object] = {}
    if options.target:
        runs, failed, found = _search(options, dials, run)
    else:
        swept, failed = run(options, dials)
        runs = [one for each in swept for one in mean_runs(each.label, each.tables)]
    if not runs:
        raise ValueError(f"no run was finished ({failed} failed), so there is no curve")
    curve = json.dumps({"runs": as_rows(runs), **found}, ensure_ascii=False, indent=2)
    for suffix, text in (("csv", as_csv(runs)), ("json", curve)):
        (options.out / f"tradeoff.{suffix}").write_text(text, encoding="utf-8")
    _draw(runs, options.out / "tradeoff.png")
    say(f"{len(runs)} runs, {failed} failed: see {options.out / 'tradeoff.png'}")
    print(curve if options.json else as_csv(runs).rstrip())
    target: Any = found.get("target", {"met": True})
    return 0 if target["met"] and not failed else 1


def _search(
    options: argparse.Namespace, dials: dict[str, list[str]], run: Callable[..., tuple[list, int]]
) -> tuple[list, int, dict[str, object]]:
    """All runs of the search for --target, how many failed, and what it found."""
    from ..techniques.tradeoff import mean_runs
    from ..techniques.tradeoff_target import find_target, read_target

    target = read_target(options.target)
    if len(dials) != 1 or len(next(iter(dials.values()))) != 2:
        raise ValueError(
            "--target needs one --dial with the two ends of its range, such as "
            "Sampler.denoise=0.2,0.9"
        )
    (dial, ends), failures = next(iter(dials.items())), []

    def measure(value: float):
        swept, failed = run(options, {dial: [f"{value:.5g}"]})
        failures.append(failed)
        found = [one for each in swept for one in mean_runs(each.label, each.tables)]
        if len(found) != 1:
            raise ValueError(
                f"{dial}={value:.5g} gave {len(found)} runs ({failed} failed): a target needs a "
                "workflow with one Trade-off node, and its scores"
            )
        return found[0]

    found = find_target(measure, *sorted(map(float, ends)), target)
    say(found.said)
    return found.runs, sum(failures), {"target": found.as_dict(target)}


def _on_servers(options: argparse.Namespace, dials: dict[str, list[str]]) -> tuple[list, int]:
    """Run on servers; return the tables of every combination and the number of failed runs."""
    from ..headless.batch import Settings
    from ..headless.preparation import ask_servers, check_request, prepare
    from ..headless.sweep import combinations, sweep

    check_request(options.workflow, options.settings, options.out, options.input, options.into)
    known = ask_servers(options.server or [DEFAULT_SERVER], say)
    prompt, items = prepare(
        options.workflow, options.settings, known, options.out, options.input, options.into
    )
    settings = Settings(options.timeout)
    display = Display(len(items) * len(combinations(dials)))
    swept, entries = sweep(prompt, items, dials, known, options.out, settings, display, say)
    return swept, sum(entry.state == "failed" for entry in entries)


def _on_cluster(options: argparse.Namespace, dials: dict[str, list[str]]) -> tuple[list, int]:
    """Run on a Ray cluster; return the same as `_on_servers`."""
    from ..batch.cluster import here_or, require_ray

    require_ray()
    from ..batch.pipeline import Scale
    from ..batch.sources import open_pictures
    from ..batch.store import Store
    from ..batch.sweep import SweepJob, sweep_on_cluster
    from .batch import show

    if options.input is None:
        raise ValueError("--address needs --input, the folder of pictures (or one picture)")
    job = SweepJob.read(
        options.workflow,
        tuple(options.settings),
        engine=options.engine,
        into=options.into,
        timeout=options.timeout,
    )
    scale = Scale(actors=options.actors, address=here_or(options.address))
    options.out.mkdir(parents=True, exist_ok=True)
    folder = open_pictures(str(options.input))
    swept, report = sweep_on_cluster(
        job, folder, dials, Store(str(options.out / "runs")), scale, show
    )
    if report.stopped:
        raise ValueError(f"stopped: {report.stopped}. The same command continues from here.")
    return swept, report.failed


def _draw(runs: list, path: Path) -> None:
    from PIL import Image

    from ..techniques.tradeoff_plot import draw_tradeoff

    Image.fromarray((draw_tradeoff(runs) * 255).round().byte().numpy()).save(path)
