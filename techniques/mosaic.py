"""The mosaic: a picture and its small faces, enlarged and restored, on one canvas to be restyled.

A model that restyles a picture at its own size has only a few pixels for a distant face, and loses
the person. Each small face therefore gets a tile of its own beside the whole picture. All of it is
restyled at once, so that the styles agree, and the faces are pasted back (`mosaic_restore`).

Rezaei et al., "Training-Free Identity Preservation in Stylized Image Generation Using Diffusion
Models", 2025: the order of the steps is theirs; geometry and weights are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.face_analyzer import FoundFace
from .lanczos import resize
from .mosaic_layout import Layout, choose_tiled, gain
from .shapes import as_image, split_alpha
from .soft_mask import mirror, soften

Enlarge = Callable[[Tensor], Tensor]
"""Pictures [1, h, w, 3] in 0..1 to the same ones enlarged by some whole factor."""
Progress = Callable[[int, int, Tensor], None]
"""Called after each face with the number of those done, their total, and its pixels [h, w, 3]."""

MASK_SCALE = 1.15
"""Scale of the ellipse that fills a face's box."""
UPWARDS = 0.05
"""Shift of a crop above the middle of the box, as a fraction of its height, for the hair."""
FEATHER = 0.04
"""Width of the face mask's edge, as a fraction of the tile."""
UNSHARP = 0.5


@dataclass(frozen=True)
class MosaicSettings:
    """size: the model's own picture size in pixels, 512 for SD 1.5 and 192 for the starter.
    context: side of a face's crop over the longer side of its box. restore: fraction of the
    restored face in its tile; the rest is the plain enlargement, as restoring invents features.
    smallest: pixels of the shorter side under which a face gets no tile. most: the largest faces of
    a picture that get one.
    """

    size: int = 512
    context: float = 1.6
    restore: float = 0.8
    smallest: int = 12
    most: int = 16


@dataclass(frozen=True)
class FaceTile:
    """A face with a tile: `picture` of the batch, `canvas`, the tile's corner (x, y) on it, and the
    square (left, top, crop) of the picture that it shows, which may reach beyond the picture.

    gain: how much larger the tile shows the face than the picture's tile does.
    """

    picture: int
    canvas: int
    corner: tuple[int, int]
    square: tuple[int, int, int]
    gain: float
    face: FoundFace


@dataclass(frozen=True)
class OtherFace:
    """A face that stays in the picture's tile alone, and why."""

    picture: int
    face: FoundFace
    why: str


@dataclass(frozen=True)
class Mosaic:
    """original [B, H, W, C]; canvas and content [N, h, w, 3], with restored and with plainly
    enlarged faces; mask [N, h, w]: the faces, of tiles and of what has no tile; first_canvas: for
    each picture its first canvas, whose picture tile becomes the result's background.
    """

    original: Tensor
    layout: Layout
    canvas: Tensor
    content: Tensor
    mask: Tensor
    tiles: tuple[FaceTile, ...]
    others: tuple[OtherFace, ...]
    first_canvas: tuple[int, ...]

    def text(self) -> str:
        """A description of the canvases and tiles, for people."""
        across, down = self.layout.canvas
        lines = [
            f"{len(self.canvas)} canvas of {across} x {down} px for {len(self.original)} picture"
        ]
        lines += [
            f"picture {tile.picture + 1}: {_named(tile.face)} has a tile of {self.layout.side} px, "
            f"{tile.gain:.1f} times larger"
            for tile in self.tiles
        ]
        lines += [
            f"picture {other.picture + 1}: {_named(other.face)} has no tile: {other.why}"
            for other in self.others
        ]
        return "\n".join(lines if self.tiles or self.others else [*lines, "no face found"])


def compose(
    image: Tensor,
    faces: Sequence[Sequence[FoundFace]],
    settings: MosaicSettings | None = None,
    enlarge: Enlarge | None = None,
    progress: Progress | None = None,
) -> Mosaic:
    """Lay pictures [B, H, W, C] and the `faces` found in each of them out on canvases.

    Face tiles are restored by `enlarge` where they are larger than the face's crop; without it, by
    Lanczos and a mild unsharp mask. An alpha channel is flattened on white.

    Raises ValueError for something that is no picture, faces for another number of pictures, or
    settings out of range.
    """
    settings = settings or MosaicSettings()
    original = as_image(image)
    if len(faces) != len(original):
        raise ValueError(f"There are faces for {len(faces)} pictures but {len(original)} pictures.")
    if settings.context < 1 or not 0 <= settings.restore <= 1:
        raise ValueError(
            f"context is {settings.context} and restore {settings.restore}; expected a crop at "
            "least as large as the face (1 or more), and a fraction in 0..1."
        )
    height, width = original.shape[1:3]
    layout, tiles, others, first = _assign(faces, width, height, settings)
    rgb = flatten(original)
    canvas = torch.cat([_canvas(layout, picture, tiles, k) for k, picture in enumerate(rgb)])
    content = canvas.clone()
    for done, tile in enumerate(tiles, start=1):
        crop = cut(rgb[tile.picture], tile.square)
        plain = resize(crop[None], layout.side, layout.side)[0]
        restored = _restored(crop, plain, enlarge)
        _paint(content[tile.canvas], plain, tile, layout)
        mixed = torch.lerp(plain, restored, settings.restore)
        _paint(canvas[tile.canvas], mixed, tile, layout)
        if progress is not None:
            progress(done, len(tiles), mixed)
    mask = _mask(canvas.shape[:3], layout, width, tiles, others, first).to(canvas)
    return Mosaic(original, layout, canvas, content, mask, tuple(tiles), tuple(others), first)


def _named(face: FoundFace) -> str:
    x, y, width, height = face.box
    return f"the face of {width:.0f} x {height:.0f} px at {x:.0f}, {y:.0f}"


def cut(picture: Tensor, square: tuple[int, int, int]) -> Tensor:
    """The square (left, top, side) of a picture [H, W, C], which is mirrored beyond its border."""
    left, top, side = square
    rows, columns = (
        mirror(torch.arange(start, start + side), length).to(picture.device)
        for start, length in ((top, picture.shape[0]), (left, picture.shape[1]))
    )
    return picture[rows][:, columns]


def flatten(image: Tensor) -> Tensor:
    """RGB [B, H, W, 3] in 0..1 of pictures that may have an alpha channel, on white."""
    rgb, alpha = split_alpha(image)
    return (rgb if alpha is None else torch.lerp(torch.ones_like(rgb), rgb, alpha)).clamp(0, 1)


def ellipse(
    box: tuple[float, float, float, float], height: int, width: int, feather: float
) -> Tensor:
    """A face's ellipse [height, width]: 1 inside, 0 outside, and `feather` pixels in between."""
    x, y, box_width, box_height = box
    radii = max(MASK_SCALE * box_width / 2, 0.5), max(MASK_SCALE * box_height / 2, 0.5)
    across = (torch.arange(width) + 0.5 - x - box_width / 2) / radii[0]
    down = (torch.arange(height) + 0.5 - y - box_height / 2) / radii[1]
    inwards = (1 - torch.hypot(across[None], down[:, None])) * min(radii)
    return (0.5 + inwards / max(feather, 1.0)).clamp(0, 1)


def _assign(
    faces: Sequence[Sequence[FoundFace]], width: int, height: int, settings: MosaicSettings
) -> tuple[Layout, list[FaceTile], list[OtherFace], tuple[int, ...]]:
    """The layout, which face gets which tile, which get none, and each picture's first canvas."""
    squares: list[list[tuple[int, int, int]]] = []
    asked: list[list[FoundFace]] = []
    others: list[OtherFace] = []
    for picture, found in enumerate(faces):
        by_size = sorted(found, key=lambda face: -face.box[2] * face.box[3])
        seen = [face for face in by_size if min(face.box[2:]) >= settings.smallest]
        asked.append(seen[: settings.most])
        squares.append([_square(face, settings.context) for face in asked[-1]])
        others += [OtherFace(picture, face, "one too many") for face in seen[settings.most :]]
        others += [
            OtherFace(picture, face, f"smaller than {settings.smallest} px")
            for face in by_size[len(seen) :]
        ]
    sides = [[square[2] for square in row] for row in squares]
    layout, chosen = choose_tiled(width, height, sides, settings.size)
    tiles, first, canvas = [], [], 0
    for picture, numbers in enumerate(chosen):
        first.append(canvas)
        for place, number in enumerate(numbers):
            square, cell = squares[picture][number], place % len(layout.cells)
            tiles.append(
                FaceTile(
                    picture,
                    canvas + place // len(layout.cells),
                    layout.cells[cell],
                    square,
                    gain(layout, width, square[2]),
                    asked[picture][number],
                )
            )
        others += [
            OtherFace(picture, face, "large enough")
            for number, face in enumerate(asked[picture])
            if number not in numbers
        ]
        canvas += max(1, -(-len(numbers) // max(1, len(layout.cells))))
    return layout, tiles, others, tuple(first)


def _square(face: FoundFace, context: float) -> tuple[int, int, int]:
    x, y, width, height = face.box
    side = max(1, round(context * max(width, height)))
    left, top = x + (width - side) / 2, y + (height - side) / 2 - UPWARDS * height
    return round(left), round(top), side


def _canvas(layout: Layout, picture: Tensor, tiles: list[FaceTile], number: int) -> Tensor:
    """A picture's canvases [n, h, w, 3] before its face tiles: its own tile, mirrored onwards."""
    width, height = layout.picture
    tile = resize(picture[None], height, width)[0]
    (across, down), (edge, bottom) = layout.canvas, layout.background
    canvas = tile[mirror(torch.arange(down), height)][:, mirror(torch.arange(across), width)]
    # Half a gutter repeats the edge of the picture's tile, the other half that of the face tiles.
    half = layout.gutter // 2
    canvas[bottom : bottom + half] = canvas[bottom - 1 : bottom]
    canvas[:, edge : edge + half] = canvas[:, edge - 1 : edge]
    own = {tile.canvas for tile in tiles if tile.picture == number}
    return canvas.expand(max(1, len(own)), -1, -1, -1)


def _restored(crop: Tensor, plain: Tensor, enlarge: Enlarge | None) -> Tensor:
    side = len(plain)
    if len(crop) >= side:
        return plain
    if enlarge is not None:
        return resize(enlarge(crop[None]).to(plain).clamp(0, 1), side, side)[0]
    blurred = soften(plain.movedim(-1, 0), sigma=side / 128).movedim(0, -1)
    return (plain + UNSHARP * (plain - blurred)).clamp(0, 1)


def _paint(canvas: Tensor, pixels: Tensor, tile: FaceTile, layout: Layout) -> None:
    """Put a tile [s, s, 3] on a canvas, its edge repeated through half a gutter all round."""
    half, (x, y) = layout.gutter // 2, tile.corner
    across, down = layout.canvas
    # The half towards the picture's tile starts beyond its padding, so nothing is painted over.
    columns = torch.arange(max(x - half, 0), min(x + layout.side + half, across))
    rows = torch.arange(max(y - half, 0), min(y + layout.side + half, down))
    within = [(line - start).clamp(0, layout.side - 1) for line, start in ((rows, y), (columns, x))]
    canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = pixels[within[0]][:, within[1]]


def _mask(
    shape: Sequence[int],
    layout: Layout,
    width: int,
    tiles: list[FaceTile],
    others: list[OtherFace],
    first: tuple[int, ...],
) -> Tensor:
    """The faces' ellipses [N, h, w]: in their tiles, or else in the picture's tile."""
    mask = torch.zeros(tuple(shape))
    for tile in tiles:
        (x, y), (left, top, side) = tile.corner, tile.square
        scale = layout.side / side
        box = tuple(
            (value - start) * scale
            for value, start in zip(tile.face.box, (left, top, 0, 0), strict=True)
        )
        part = mask[tile.canvas, y : y + layout.side, x : x + layout.side]
        part.copy_(ellipse(box, layout.side, layout.side, FEATHER * layout.side))
    scale = layout.picture[0] / width
    ends = (*first[1:], len(mask))
    for other in others:
        box = tuple(value * scale for value in other.face.box)
        shown = ellipse(box, layout.picture[1], layout.picture[0], FEATHER * box[2])
        own = mask[first[other.picture] : ends[other.picture]]
        part = own[:, : layout.picture[1], : layout.picture[0]]
        part.copy_(torch.maximum(part, shown))
    return mask
