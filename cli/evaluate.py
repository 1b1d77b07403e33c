"""`visage evaluate`: how good models are, measured on held-out pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from .evaluate_face_edit import add_face_edit_command


def add_evaluate_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage evaluate starter` and `visage evaluate face-edit`."""
    parser = subparsers.add_parser("evaluate", help="measure models on held-out pictures")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="measure the built-in starter models")
    starter.add_argument("--quick", action="store_true", help="a small sample, in under a minute")
    starter.add_argument("--json", action="store_true", help="print one JSON object")
    starter.add_argument("--out", type=Path, help="also write figures and sample counts here")
    starter.set_defaults(run=_run)
    add_face_edit_command(kinds)


def _run(options: argparse.Namespace) -> int:
    from ..evaluation.starter import FULL, QUICK, evaluate

    report = evaluate(QUICK if options.quick else FULL, _say)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(report), indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(report.figures))
        return 0
    for name, value in report.figures.items():
        print(f"{name:30} {value:.4f}")
    for name, value in report.attributes.items():
        print(f"  prompt names {name:16} {value:.3f}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
