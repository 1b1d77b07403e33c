"""Options of the commands that run a workflow on ComfyUI servers."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_SERVER = "http://127.0.0.1:8188"


def server_options(out: str) -> argparse.ArgumentParser:
    """A parent parser: the workflow, its servers, the pictures' node and the folder `out`."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("workflow", type=Path, help="a .json file in canvas or API form")
    parent.add_argument(
        "--into",
        metavar="TITLE",
        help="the node that takes the pictures of --input (default: Picture, or the only one)",
    )
    parent.add_argument(
        "--server",
        nargs="+",
        action="extend",
        metavar="URL",
        help=f"ComfyUI servers that share the work (default: {DEFAULT_SERVER})",
    )
    parent.add_argument(
        "--out", type=Path, default=Path(out), metavar="DIR", help="folder to write"
    )
    parent.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="interrupt an item that runs for longer"
    )
    return parent
