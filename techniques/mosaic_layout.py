"""Where a picture and its enlarged faces lie on one canvas: arithmetic, no pixels.

The whole picture is one tile, scaled to what the model likes; below it (right of it, where it is
upright) runs a strip of square face tiles, all of one size: the largest that lets them fit. This
is the mosaic of Rezaei et al., "Training-Free Identity Preservation in Stylized Image Generation
Using Diffusion Models", 2025; the geometry is ours.

All lengths follow from the model's own picture size S: the picture's shorter side becomes S or its
longer side 2 S, a tile is S at most and 3/8 S at least, and a canvas has 6 S^2 pixels at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEP = 64
"""Sides of a canvas are multiples of this: the UNet halves latents of 8 px three times."""
SIXTEENTHS = (16, 14, 12, 10, 8, 7, 6)
"""Sides of face tiles as fractions of the model's picture size, tried from the largest."""
MIN_GAIN = 1.2
"""A face that its tile would show less than this much larger is large enough already."""


@dataclass(frozen=True)
class Layout:
    """One canvas, all lengths in pixels.

    picture: (width, height) of the whole picture's tile, at the canvas' corner; background: the
    same with its padding to multiples of 64; canvas: (width, height); side: of each face tile, 0
    without face tiles; cells: (x, y) of the face tiles that one canvas holds; gutter: between
    tiles.
    """

    picture: tuple[int, int]
    background: tuple[int, int]
    canvas: tuple[int, int]
    side: int
    cells: tuple[tuple[int, int], ...]
    gutter: int


def pack(width: int, height: int, faces: int, size: int = 512) -> Layout:
    """The layout for a picture of `width` x `height` with `faces` face tiles.

    `size` is the model's own picture size: 512 for SD 1.5, 192 for the starter. If one canvas
    cannot hold all faces, the layout is for the fewest canvases that can, with as many cells each.

    Raises ValueError for a size that is not a multiple of 64 or a picture without pixels.
    """
    if size < STEP or size % STEP:
        raise ValueError(f"size is {size}; expected a multiple of {STEP}, such as 512 for SD 1.5.")
    if min(width, height) < 1:
        raise ValueError(f"The picture is {width} x {height} px; expected at least one pixel.")
    scale = _picture_scale(width, height, size)
    picture = max(1, round(width * scale)), max(1, round(height * scale))
    background = _up(picture[0]), _up(picture[1])
    gutter = max(8, size // 256 * 8)
    if not faces:
        return Layout(picture, background, background, 0, (), gutter)
    counts = (math.ceil(faces / canvases) for canvases in range(1, faces + 1))
    strips = (
        strip
        for count in counts
        for side in _sides(size)
        if (strip := _strip(max(background), min(background), side, gutter, count, size))
    )
    # One face on a canvas of its own always fits.
    side, cells, across = next(strips)
    canvas = max(background), across
    if background[0] < background[1]:
        canvas, cells = canvas[::-1], tuple(cell[::-1] for cell in cells)
    return Layout(picture, background, canvas, side, cells, gutter)


def choose_tiled(
    width: int, height: int, crops: Sequence[Sequence[int]], size: int = 512
) -> tuple[Layout, list[list[int]]]:
    """The layout of a batch of pictures, and for each picture the numbers of the faces with a tile.

    `crops` holds for each picture the sides of its faces' square crops, in pixels of the picture.
    A face gets no tile if that would show it less than 1.2 times larger than the picture's tile.
    The largest such face of each picture is removed first, and then the rest is tried again, since
    their tiles become larger. All pictures have the layout of the picture with most faces.
    """
    chosen = [sorted(range(len(sides)), key=sides.__getitem__) for sides in crops]
    while True:
        layout = pack(width, height, max(map(len, chosen), default=0), size)
        too_large = [
            numbers
            for numbers, sides in zip(chosen, crops, strict=True)
            if numbers and gain(layout, width, sides[numbers[-1]]) < MIN_GAIN
        ]
        if not too_large:
            return layout, [sorted(numbers) for numbers in chosen]
        for numbers in too_large:
            numbers.pop()


def gain(layout: Layout, width: int, crop: int) -> float:
    """How much larger a face tile shows a crop of `crop` pixels than the picture's tile."""
    return layout.side * width / (crop * layout.picture[0])


def _picture_scale(width: int, height: int, size: int) -> float:
    short, long = min(width, height), max(width, height)
    whole = min(size / short, 2 * size / long)
    # A panorama keeps half the model's size, until it is eight times as long as it is high.
    return max(whole, min(size / 2 / short, 4 * size / long))


def _sides(size: int) -> list[int]:
    return [size * sixteenths // (16 * 8) * 8 for sixteenths in SIXTEENTHS]


def _strip(
    long: int, short: int, side: int, gutter: int, faces: int, size: int
) -> tuple[int, tuple[tuple[int, int], ...], int] | None:
    """Side, cells (along, across) and the canvas' extent across, if that strip may be used."""
    columns = (long + gutter) // (side + gutter)
    if not columns:
        return None
    depth = math.ceil(faces / columns) * (side + gutter)
    across = _up(short + depth)
    # The strip must not be deeper than the picture, or than one row for a thin picture.
    if depth > max(short, _sides(size)[-1]) + gutter or long * across > 6 * size**2:
        return None
    cells = tuple(
        (
            number % columns * (side + gutter),
            short + gutter + number // columns * (side + gutter),
        )
        for number in range(faces)
    )
    return side, cells, across


def _up(length: int) -> int:
    return -(-length // STEP) * STEP
