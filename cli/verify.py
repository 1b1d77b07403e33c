"""`visage verify`: what changed between a picture and its edit, compared with the file's claim."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path


def add_verify_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage verify` to the command line."""
    parser = subparsers.add_parser(
        "verify",
        help="check what an edited picture claims about itself",
        description="Compare an edited picture with its original: what changed, where, and whether "
        "that is what the file claims (Save Proven writes the claim). Exit code 1 if it is not, or "
        "if the file makes no claim.",
    )
    parser.add_argument("edited", type=Path, help="the edited picture, as it was saved")
    parser.add_argument("original", type=Path, help="the picture that it was made from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import numpy as np

    from ..models.picture_files import read_claim, read_picture
    from ..techniques.edit_claim import check_claim

    edited, original = (
        np.asarray(read_picture(path).convert("RGB")) for path in (options.edited, options.original)
    )
    verdict = check_claim(edited, original, read_claim(options.edited))
    if options.json:
        print(json.dumps(dataclasses.asdict(verdict) | {"holds": not verdict.broken}))
    else:
        print(_describe(verdict))
    return 1 if verdict.broken else 0


def _describe(verdict) -> str:
    if verdict.box is None:
        changes = "No pixel changed."
    else:
        x, y, width, height = verdict.box
        changes = (
            f"{verdict.changed} of {verdict.pixels} pixels changed "
            f"({verdict.changed / verdict.pixels:.1%}), by up to {verdict.largest} of 255, within "
            f"{width} x {height} px at ({x}, {y})."
        )
    if verdict.broken:
        return f"{changes}\nNOT PROVEN: {'; '.join(verdict.broken)}."
    return f"{changes}\nThe claim holds: the original is this one, and nothing else was changed."
