"""Options of the commands that run a workflow on ComfyUI servers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEFAULT_SERVER = "http://127.0.0.1:8188"


def server_options(out: str) -> argparse.ArgumentParser:
    """A parent parser: the workflow, its servers, the pictures' node and the folder `out`."""
    parent = argparse.ArgumentParser(add_help=False)
    workflow = parent.add_argument(
        "workflow", type=Path, action=_OneWorkflow, help="a .json file in canvas or API form"
    )
    parent.add_argument(
        "--into",
        metavar="TITLE",
        help="the node that takes the pictures of --input (default: Picture, or the only one)",
    )
    parent.add_argument(
        "--server",
        nargs="+",
        action=_Servers,
        workflow=workflow,
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


class _OneWorkflow(argparse.Action):
    """Stores the workflow; a second one is an error, so that neither is dropped unsaid."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if namespace.workflow is not None:
            raise argparse.ArgumentError(
                self, f"{namespace.workflow} and {values}: one workflow is run at a time"
            )
        namespace.workflow = values
        # It may have come with --server, where argparse would go on asking for it.
        self.required = False


class _Servers(argparse.Action):
    """Adds servers. The workflow may follow them: a .json file is no server."""

    def __init__(self, *args: Any, workflow: argparse.Action, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.workflow = workflow

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str] | Any,
        option_string: str | None = None,
    ) -> None:
        urls = [word for word in values if not _is_file(word)]
        if not urls:
            raise argparse.ArgumentError(self, f"{values[0]} is no server; write {DEFAULT_SERVER}")
        for name in filter(_is_file, values):
            self.workflow(parser, namespace, Path(name), option_string)
        namespace.server = [*(namespace.server or []), *urls]


def _is_file(word: str) -> bool:
    return word.lower().endswith(".json") and "://" not in word
