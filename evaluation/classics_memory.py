"""The peak memory of a painting method, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
METHODS = ("patches", "gram", "fast", "adain", "adain_public")


def peak_mib(method: str, side: int) -> float:
    """Peak MiB while a picture of `side` px is painted, beyond those of the loaded program.

    Each size is painted with one step, since more steps take no more memory, and with random
    weights. NaN on systems other than Linux. Raises ValueError when the process dies.
    """
    if not STATUS.exists():
        return float("nan")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(method, side, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise ValueError(
            f"{method} at {side} px ended without an answer: too little memory?"
        ) from None
    finally:
        process.join()


def _measure(method: str, side: int, sender) -> None:
    import torch

    from ..models.adain import PUBLIC_COUNTS, PUBLIC_WIDTHS, new_pair
    from ..models.fast_style import SMALL_BLOCKS, SMALL_WIDTHS, FastStyle
    from ..models.vgg19 import Vgg19
    from ..techniques.adain_style import paint_adain
    from ..techniques.fast_style import paint_fast
    from ..techniques.gram_painting import GramPainter
    from ..techniques.neural_style import StylePicture, neural_style
    from ..techniques.patch_painting import PatchPainter

    def paint(side: int) -> None:
        picture, styles = torch.rand(side, side, 3), [StylePicture(torch.rand(480, 640, 3))]
        if method in ("patches", "gram"):
            painter = (
                PatchPainter(steps=1) if method == "patches" else GramPainter(network, steps=1)
            )
            neural_style(picture, styles, painter)
        elif method == "fast":
            paint_fast(picture[None], network)
        else:
            paint_adain(picture[None], styles, network)

    network = {
        "patches": lambda: None,
        "gram": lambda: Vgg19().features.eval().requires_grad_(False),
        "fast": lambda: FastStyle(SMALL_WIDTHS, SMALL_BLOCKS).eval(),
        "adain": new_pair,
        "adain_public": lambda: new_pair(PUBLIC_WIDTHS, PUBLIC_COUNTS),
    }[method]()
    # The first pass loads libraries, which are needed at any size.
    paint(64)
    CLEAR.write_text("5")  # resets the high-water mark
    before = _peak()
    paint(side)
    sender.send(_peak() - before)


def _peak() -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
