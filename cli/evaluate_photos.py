"""`visage evaluate photos`: face detection in photographs, compared with an independent judge."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from .output import say


def add_photos_command(kinds: argparse._SubParsersAction) -> None:
    """Add `visage evaluate photos`."""
    photos = kinds.add_parser(
        "photos",
        help="measure how faces are found and outlined in a folder of photographs",
        description="The folder holds people, headshots, groups and synthetic, each with pictures "
        "and a faces.jsonl with the places of their faces.",
    )
    photos.add_argument("folder", type=Path, metavar="DIR", help="the folder of photographs")
    photos.add_argument("--quick", action="store_true", help="every twelfth picture")
    photos.add_argument("--json", action="store_true", help="print one JSON object")
    photos.add_argument("--out", type=Path, help="also write figures, samples and errors here")
    photos.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..evaluation.photos import evaluate_photos

    report = evaluate_photos(options.folder, options.quick, say)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(report), indent=2)
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(report.figures | report.samples))
        return 0
    for name, value in report.figures.items():
        print(f"{name:30} {value:.4f}")
    for what, boxes in (("missed", report.missed), ("false", report.false)):
        for file, box in boxes:
            print(f"{what:7} {file} {box}")
    return 0
