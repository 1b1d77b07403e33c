"""`visage data render`: draw training pictures with exact label maps, attributes and captions."""

import argparse
import time
from pathlib import Path


def add_data_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage data` to the command line."""
    parser = subparsers.add_parser(
        "data", help="draw training pictures with exact label maps and captions"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    draw = actions.add_parser(
        "render", help="write portraits of the starter world in the layout of CelebAMask-HQ"
    )
    draw.add_argument("--count", type=int, required=True, metavar="N", help="number of portraits")
    draw.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to fill")
    draw.add_argument("--size", type=int, default=128, help="width and height in pixels (128)")
    draw.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="train",
        help="which people and seeds to draw; splits have none in common (train)",
    )
    draw.add_argument("--style", help="one style for all; without it, photographs and paintings")
    draw.add_argument("--workers", type=int, default=2, help="processes that draw (2)")
    draw.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..world.export import export_portraits

    begun = time.perf_counter()
    progress = export_portraits(
        options.out, options.count, options.size, options.split, options.style, options.workers
    )
    before = now = next(progress)
    with tqdm(total=options.count, initial=before, unit="portrait") as bar:
        for now in progress:
            bar.update(now - bar.n)
    seconds = time.perf_counter() - begun
    rate = (now - before) / max(seconds, 1e-9)
    print(f"{now - before} portraits drawn in {seconds:.1f} s, {rate:.1f} a second: {options.out}")
    return 0
