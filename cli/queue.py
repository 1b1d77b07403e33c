"""`visage queue`: run a workflow on ComfyUI servers, once or for every picture of a folder."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..headless.manifest import Entry

DEFAULT_SERVER = "http://127.0.0.1:8188"


def add_queue_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage queue` to the command line."""
    parser = subparsers.add_parser(
        "queue",
        help="run a workflow on ComfyUI servers, once or for every picture of a folder",
        description="Run a workflow on one or several ComfyUI servers and fetch what it made. "
        "Started again after it was stopped or killed, it goes on where it was: finished "
        "pictures stay. Exit code 1 if any item failed, 2 if nothing could be queued.",
    )
    parser.add_argument("workflow", type=Path, help="a .json file in canvas or API form")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="TITLE.INPUT=VALUE",
        help='set an input of the node with that title, as in "Prompt.text=a man with a hat"; '
        "a picture of this machine is uploaded; may be repeated",
    )
    parser.add_argument(
        "--input", type=Path, metavar="DIR", help="run once for each picture in DIR"
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
        "--out", type=Path, default=Path("output/queue"), metavar="DIR", help="folder to write"
    )
    parser.add_argument(
        "--previews", action="store_true", help="fetch what preview nodes show as well"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="interrupt an item that runs for longer"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for a server that went away (default: 120)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("aiohttp") is None:
        raise ValueError("`visage queue` needs aiohttp, which ComfyUI has: pip install aiohttp")
    from ..headless.batch import Settings, run_batch
    from ..headless.preparation import ask_servers, prepare

    known = ask_servers(options.server or [DEFAULT_SERVER], say)
    prompt, items = prepare(
        options.workflow, options.settings, known, options.out, options.input, options.into
    )
    settings = Settings(options.timeout, options.patience, options.previews)
    display = Display(len(items))
    entries = run_batch(prompt, items, list(known), options.out, settings, display)
    failed = [entry for entry in entries if entry.state == "failed"]
    say(
        f"{len(entries) - len(failed)} done ({display.skipped} of them before), "
        f"{len(failed)} failed: see {options.out}"
    )
    if options.json:
        report = {
            "done": len(entries) - len(failed),
            "skipped": display.skipped,
            "failed": len(failed),
            "out": str(options.out),
            "items": [asdict(entry) for entry in entries],
        }
        print(json.dumps(report, ensure_ascii=False))
    return 1 if failed else 0


def say(text: str) -> None:
    """Print to standard error."""
    # Standard output is for the report alone.
    print(text, file=sys.stderr, flush=True)


class Display:
    """Shows a batch on standard error: on a terminal one line that changes, else one a node."""

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

    def warn(self, text: str) -> None:
        say(("\r\x1b[K" if self.live else "") + text)
