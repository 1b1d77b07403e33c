"""`visage workflows`: build the shipped workflows from their descriptions."""

from __future__ import annotations

import argparse


def add_workflows_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage workflows` to the command line."""
    parser = subparsers.add_parser(
        "workflows",
        help="build the shipped workflows from their descriptions",
        description="Build the canvas form and the API form of the workflows described in "
        "workflows/source. Needs Node.js and elkjs for the layout.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to build (all)")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="first ask ComfyUI for the nodes' classes and their sizes on its page; needed for new "
        "classes, and after a change of a node's inputs, outputs or panels",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..workflows.builder.measure import measure
    from ..workflows.builder.write import write

    if options.measure:
        measure()
    for path in write(options.names):
        print(path)
    return 0
