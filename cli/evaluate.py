"""`visage evaluate`: how good models are, measured on held-out pictures."""

from __future__ import annotations

import argparse
import json
import sys


def add_evaluate_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage evaluate starter`."""
    parser = subparsers.add_parser("evaluate", help="measure models on held-out pictures")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="measure the built-in starter models")
    starter.add_argument("--quick", action="store_true", help="a small sample, in under a minute")
    starter.add_argument("--json", action="store_true", help="print one JSON object")
    starter.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..evaluation.starter import FULL, QUICK, evaluate

    figures = evaluate(QUICK if options.quick else FULL, _say)
    if options.json:
        print(json.dumps(figures))
        return 0
    for name, value in figures.items():
        print(f"{name:30} {value:.4f}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
