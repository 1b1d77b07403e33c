"""`visage evaluate`: how good models are, measured on held-out pictures."""

from __future__ import annotations

import argparse
import json


def add_evaluate_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage evaluate starter`."""
    parser = subparsers.add_parser("evaluate", help="measure models on held-out pictures")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="measure the built-in starter models")
    starter.add_argument("--quick", action="store_true", help="a small sample, in under a minute")
    starter.add_argument("--json", action="store_true", help="print one JSON object")
    starter.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..evaluation.starter import evaluate

    figures = evaluate(options.quick)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:.4f}")
    return 0
