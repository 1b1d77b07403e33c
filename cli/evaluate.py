"""`visage evaluate`: how good models are, measured on held-out pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from .evaluate_face_edit import add_face_edit_command
from .evaluate_photos import add_photos_command
from .output import say

# Not the parser's defaults, so that --count and --denoise are known to be given.
COUNT, DENOISE = 100, 1.0
FOR_PHOTOS = ("count", "denoise", "starter", "sheet")


def add_evaluate_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage evaluate starter`, `visage evaluate face-edit` and `visage evaluate photos`."""
    parser = subparsers.add_parser("evaluate", help="measure models on held-out pictures")
    kinds = parser.add_subparsers(dest="what", required=True)
    starter = kinds.add_parser("starter", help="measure the built-in starter models")
    starter.add_argument("--quick", action="store_true", help="a small sample, in under a minute")
    starter.add_argument("--json", action="store_true", help="print one JSON object")
    starter.add_argument("--out", type=Path, help="also write figures and sample counts here")
    starter.add_argument(
        "--photos",
        type=Path,
        help="measure on photographs only: a folder with synthetic, people and headshots",
    )
    starter.add_argument("--count", type=int, help=f"with --photos: number of edits ({COUNT})")
    starter.add_argument("--denoise", type=float, help=f"with --photos: their denoise ({DENOISE})")
    starter.add_argument(
        "--starter", type=Path, help="with --photos: starter folder (default: the shipped one)"
    )
    starter.add_argument("--sheet", type=Path, help="with --photos: PNG of originals and edits")
    starter.add_argument(
        "--address", help="measure the parts on a Ray cluster; local: in parallel on this machine"
    )
    starter.set_defaults(run=_run)
    add_face_edit_command(kinds)
    add_photos_command(kinds)


def _run(options: argparse.Namespace) -> int:
    if options.photos and options.address:
        raise ValueError("--photos is measured on this machine: leave out --address.")
    if options.photos:
        return _run_photos(options)
    given = [f"--{name}" for name in FOR_PHOTOS if getattr(options, name) is not None]
    if given:
        raise ValueError(f"{', '.join(given)} needs --photos, a folder of photographs.")
    _make_folder(options.out)
    from ..evaluation.starter import FULL, QUICK, evaluate

    samples = QUICK if options.quick else FULL
    if options.address:
        from ..batch.cluster import fan_out, here_or, quietly

        report = evaluate(
            samples, quietly, lambda parts: fan_out(parts, here_or(options.address), say)
        )
    else:
        report = evaluate(samples, say)
    if options.out:
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


def _run_photos(options: argparse.Namespace) -> int:
    from PIL import Image

    from ..evaluation.photo_edits import contact_sheet, photo_figures
    from ..models.starter_files import STARTER

    count = COUNT if options.count is None else options.count
    denoise = DENOISE if options.denoise is None else options.denoise
    if count < 3:
        raise ValueError(f"--count is {count}; expected 3 or more.")
    if options.sheet and options.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet is {options.sheet}; expected a name that ends in .png.")
    # Before the measuring, so that a place that cannot be written to does not cost its results.
    _make_folder(options.out)
    _make_folder(options.sheet)
    count = min(count, 6) if options.quick else count
    starter = options.starter or STARTER
    report = photo_figures(options.photos, count, starter, denoise, say)
    kept = {
        "denoise": denoise,
        "figures": {name: dataclasses.asdict(value) for name, value in report.figures.items()},
        "attributes": report.attributes,
        "judge_accuracy": report.judge_accuracy,
    }
    text = json.dumps(kept, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.sheet:
        Image.fromarray(contact_sheet(report.edits)).save(options.sheet)
    if options.json:
        print(json.dumps(json.loads(text)))
        return 0
    for name, figure in report.figures.items():
        print(
            f"{name:26} {figure.value:8.3f}  95 %: {figure.low:.3f} to {figure.high:.3f}  "
            f"({figure.count} pictures)"
        )
    for name, (found, tried) in report.attributes.items():
        accuracy = report.judge_accuracy[name]
        print(f"  prompt names {name:12} {found} of {tried}, judge right in {accuracy:.2f}")
    return 0


def _make_folder(file: Path | None) -> None:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
