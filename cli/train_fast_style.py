"""`visage train fast-style PICTURE`: one painting's style as a small network."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Ctrl-C, and what `kill`, a container's end and a job scheduler send.
STOPPING = (signal.SIGINT, signal.SIGTERM)


def add_fast_style_command(kinds: argparse._SubParsersAction) -> None:
    """Add `visage train fast-style`."""
    command = kinds.add_parser(
        "fast-style",
        help="learn the style of one painting as a fast network",
        description="Learn the style of one painting as a small network that paints a picture in "
        "one pass, without a downloaded model. Ctrl-C and SIGTERM keep what was learned so far.",
    )
    command.add_argument("picture", type=Path, help="the painting")
    command.add_argument(
        "--photos", type=Path, help="folder of pictures to train on (default: drawn ones)"
    )
    command.add_argument("--out", type=Path, help="file to write (default: PICTURE.safetensors)")
    command.add_argument("--steps", type=int, default=2000, help="training steps (%(default)s)")
    command.add_argument("--batch", type=int, default=2, help="crops in a step (%(default)s)")
    command.add_argument("--size", type=int, default=128, help="side of crops (%(default)s px)")
    command.add_argument(
        "--style-size", type=int, default=256, help="longer side of the painting (%(default)s px)"
    )
    command.add_argument(
        "--content-weight", type=float, default=1.5, help="weight of forms (%(default)s)"
    )
    command.add_argument(
        "--public-size", action="store_true", help="the public files' network, six times larger"
    )
    command.add_argument(
        "--whitening",
        type=float,
        default=0.5,
        help="weight of fine strokes beside large ones, 0 to 1 (%(default)s)",
    )
    command.add_argument("--start", type=Path, help="a fast style to begin with, which saves steps")
    command.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    command.set_defaults(run=run_fast_style)


def run_fast_style(args: argparse.Namespace) -> None:
    """Train the network and write it."""
    from ..models.checkpoints import require_new_weights

    out = args.out or args.picture.with_suffix(".safetensors")
    require_new_weights(out, advice="Name another file with --out.")
    if not args.picture.is_file():
        raise FileNotFoundError(f"There is no picture {args.picture}.")
    if args.steps < 1 or args.batch < 1 or args.size < 64:
        raise ValueError("Steps and batch must be at least 1, and the size at least 64.")
    if not 0 <= args.whitening <= 1:
        raise ValueError(f"whitening is {args.whitening:g}; it must be between 0 and 1.")

    from tqdm import tqdm

    from ..models.fast_style import (
        PUBLIC_BLOCKS,
        PUBLIC_WIDTHS,
        SMALL_BLOCKS,
        SMALL_WIDTHS,
        load_fast_style,
    )
    from ..training.fast_style import (
        FastStyleSettings,
        drawn_pictures,
        pictures_in,
        save_fast_style,
        train_fast_style,
    )

    start = None if args.start is None else load_fast_style(args.start)
    painting = pictures_in([args.picture])[0]
    pictures = drawn_pictures() if args.photos is None else pictures_in(args.photos)
    widths, blocks = (
        (PUBLIC_WIDTHS, PUBLIC_BLOCKS) if args.public_size else (SMALL_WIDTHS, SMALL_BLOCKS)
    )
    settings = FastStyleSettings(
        args.steps, args.batch, args.size, args.style_size, args.content_weight, args.seed,
        widths, blocks, args.whitening,
    )  # fmt: skip
    with _told_to_stop() as told, tqdm(total=args.steps) as bar:

        def show(step: int, loss: float, network) -> bool:
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
            return bool(told)

        network, _ = train_fast_style(painting, pictures, settings, show, start)
        save_fast_style(network, out, args.picture.stem)
    print(f"Wrote {out}. For Load Fast Style put it into ComfyUI's models/visage_fast_styles.")


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """Within, Ctrl-C and SIGTERM end nothing: they are noted in the list."""
    told: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: told.append(number))
        for number in STOPPING
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
