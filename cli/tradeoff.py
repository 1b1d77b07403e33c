"""`visage tradeoff`: sweep a workflow's settings, and draw the style-identity curve."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from .queue import DEFAULT_SERVER, Display, say


def add_tradeoff_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage tradeoff` to the command line."""
    parser = subparsers.add_parser(
        "tradeoff",
        help="sweep a workflow's settings and draw how much style costs how much of the person",
        description="Run a workflow that has a Trade-off node on ComfyUI servers, once for every "
        "combination of the dials, and write the curve as tradeoff.png, .csv and .json. Started "
        "again after it was stopped, it goes on where it was. Exit code 1 if any run failed, 2 if "
        "nothing could be queued.",
    )
    parser.add_argument("workflow", type=Path, help="a .json file in canvas or API form")
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
        "--into",
        metavar="TITLE",
        help="the node that takes these pictures (default: Picture, or the only one)",
    )
    parser.add_argument(
        "--server",
        nargs="+",
        action="extend",
        metavar="URL",
        help=f"ComfyUI servers that share the work (default: {DEFAULT_SERVER})",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("output/tradeoff"), metavar="DIR", help="folder to write"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="interrupt an item that runs for longer"
    )
    parser.add_argument("--json", action="store_true", help="print the curve as JSON at the end")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("aiohttp") is None:
        raise ValueError("`visage tradeoff` needs aiohttp, which ComfyUI has: pip install aiohttp")
    from ..headless.batch import Settings
    from ..headless.preparation import ask_servers, prepare
    from ..headless.sweep import combinations, parse_dials, sweep
    from ..techniques.tradeoff import as_csv, as_json, mean_runs

    dials = parse_dials(options.dials)
    known = ask_servers(options.server or [DEFAULT_SERVER], say)
    prompt, items = prepare(
        options.workflow, options.settings, known, options.out, options.input, options.into
    )
    settings = Settings(options.timeout)
    display = Display(len(items) * len(combinations(dials)))
    swept, entries = sweep(prompt, items, dials, known, options.out, settings, display, say)
    runs = [run for one in swept for run in mean_runs(one.label, one.tables)]
    failed = sum(entry.state == "failed" for entry in entries)
    if not runs:
        raise ValueError(f"no run was finished ({failed} failed), so there is no curve")
    curve = as_json(runs)
    for suffix, text in (("csv", as_csv(runs)), ("json", curve)):
        (options.out / f"tradeoff.{suffix}").write_text(text, encoding="utf-8")
    _draw(runs, options.out / "tradeoff.png")
    say(f"{len(runs)} runs, {failed} failed: see {options.out / 'tradeoff.png'}")
    print(curve if options.json else as_csv(runs).rstrip())
    return 1 if failed else 0


def _draw(runs: list, path: Path) -> None:
    from PIL import Image

    from ..techniques.tradeoff_plot import draw_tradeoff

    Image.fromarray((draw_tradeoff(runs) * 255).round().byte().numpy()).save(path)
