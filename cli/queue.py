"""`visage queue`: run a workflow on ComfyUI servers, once or for every picture of a folder."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .output import say
from .server_options import DEFAULT_SERVER, server_options

if TYPE_CHECKING:
    from ..headless.manifest import Entry


def add_queue_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage queue` to the command line."""
    parser = subparsers.add_parser(
        "queue",
        parents=[server_options("output/queue")],
        help="run a workflow on ComfyUI servers, once or for every picture of a folder",
        description="Run a workflow on one or several ComfyUI servers and fetch the results. If it "
        "was stopped or killed, start it again to continue: finished pictures stay. Exit code 1 "
        "if any item failed, 2 if nothing could be queued.",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="TITLE.INPUT=VALUE",
        help='set an input of the node with that title, as in "Prompt.text=a man with a hat"; '
        "a picture on this machine is uploaded; may be repeated",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="PLACE",
        help="run once for each picture in this folder and its subfolders, or for one picture",
    )
    parser.add_argument(
        "--previews", action="store_true", help="fetch the pictures of preview nodes, too"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for a server that stopped answering (default: 120)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="count a picture without a face as a failure"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("aiohttp") is None:
        raise ValueError("`visage queue` needs aiohttp, which ComfyUI has: pip install aiohttp")
    from ..headless.batch import Settings, run_batch
    from ..headless.embedding import canvas_of_run, read_canvas
    from ..headless.manifest import shows_nobody
    from ..headless.preparation import ask_servers, check_request, prepare

    check_request(options.workflow, options.settings, options.out, options.input, options.into)
    known = ask_servers(options.server or [DEFAULT_SERVER], say)
    prompt, items = prepare(
        options.workflow, options.settings, known, options.out, options.input, options.into
    )
    settings = Settings(options.timeout, options.patience, options.previews)
    display = Display(len(items))
    canvas, object_info = read_canvas(options.workflow), next(iter(known.values()))

    def canvas_of(run: dict) -> dict | None:
        return canvas and canvas_of_run(canvas, run, object_info)

    entries = run_batch(prompt, items, list(known), options.out, settings, display, canvas_of)
    nobody = [entry for entry in entries if shows_nobody(entry)]
    failed = [
        entry
        for entry in entries
        if entry.state == "failed" or (options.strict and entry in nobody)
    ]
    say(
        f"{len(entries) - len(failed)} done ({display.skipped} of them before), "
        f"{len(failed)} failed: see {options.out}"
    )
    if nobody:
        say(f"no face found in {len(nobody)}: {', '.join(entry.item for entry in nobody[:8])}")
    if options.json:
        report = {
            "done": len(entries) - len(failed),
            "skipped": display.skipped,
            "failed": len(failed),
            "no_face": len(nobody),
            "out": str(options.out),
            "items": [asdict(entry) for entry in entries],
        }
        print(json.dumps(report, ensure_ascii=False))
    return 1 if failed else 0


class Display:
    """Shows a batch on standard error: a line that changes on a terminal, else one per node."""

    def __init__(self, total: int) -> None:
        self.total, self.count, self.skipped = total, 0, 0
        self.live = sys.stderr.isatty()

    def step(self, item: str, server: str, title: str, step: int, steps: int) -> None:
        text = f"  {item}: {title}" + (f" {step}/{steps}" if steps else "")
        if self.live:
            print(f"\r{text}  ({server})\x1b[K", end="", file=sys.stderr, flush=True)
        elif step == steps:
            say(text)

    def finished(self, entry: Entry, skipped: bool) -> None:
        self.count += 1
        self.skipped += skipped
        if skipped:
            state = "done before"
        elif entry.state == "done":
            state = f"{', '.join(entry.files) or 'no files'} ({entry.seconds:.1f} s)"
        else:
            state = f"FAILED: {entry.error}"
        self.warn(f"[{self.count}/{self.total}] {entry.item}: {state}")
        for note in dict.fromkeys(entry.notes):
            self.warn(f"    {note}")

    def warn(self, text: str) -> None:
        say(("\r\x1b[K" if self.live else "") + text)
