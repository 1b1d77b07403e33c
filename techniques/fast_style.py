"""Pictures and clips through a fast style network, at any size.

The network (`models.fast_style`, Johnson et al., 2016) normalises by each picture's own statistics.
Tiles that did so would differ from one another, and so would the frames of a clip: here the
statistics come from the whole picture, made smaller where it is large, and follow a clip as an
exponential mean. With them fixed, a tile with enough surroundings equals the whole picture. What is
left of flicker, the network's answers to noise, is evened out along the optical flow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.fast_style import FastStyle, Statistics
from ..models.user_input import require_choice
from .colour_transfer import COLOUR_MODES, luminance, match_colours, with_luminance
from .optical_flow import followed, steadied
from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha

STEP = 4
"""Sides of what the network sees are multiples of this."""
MIN_SIDE = 16


@torch.no_grad()
def paint_fast(
    image: Tensor,
    network: FastStyle,
    strength: float = 1.0,
    colour: str = COLOUR_MODES[0],
    keep: Tensor | None = None,
    keep_strength: float = 0.5,
    tile: int = 1024,
    is_clip: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pictures [B, H, W, C] painted; an alpha channel stays.

    strength: 0 leaves them as they are, bit for bit; keep [B or 1, H, W]: where keep_strength of
    the picture stays; tile: side in pixels beyond which a picture is painted in tiles. Raises
    ValueError for pictures under 16 px, unknown colour modes and masks of another shape.
    """
    pictures = as_image(image, "image")
    height, width = pictures.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"The picture is {width} x {height} px; painting needs {MIN_SIDE} px.")
    require_choice("colour", colour, COLOUR_MODES)
    if strength == 0:
        return image
    rgb, alpha = split_alpha(pictures)
    fraction = torch.full((len(rgb), height, width), strength).to(rgb)
    if keep is not None:
        kept = fit_mask(as_mask(keep, "keep"), height, width, "keep").to(rgb)
        fraction = strength * (1 - keep_strength * match_batch(rgb, kept, "image", "keep")[1])
    result, known, before = torch.empty_like(rgb), None, None
    for number, picture in enumerate(rgb):
        seen, painted = _first_pass(network, picture.clamp(0, 1), tile)
        if is_clip and known is not None:
            known = [followed(*pair) for pair in zip(known, seen, strict=True)]
        else:
            known = seen
        if painted is None or known is not seen:
            painted = _painted(network, picture.clamp(0, 1), known, tile)
        if is_clip and before is not None:
            painted = steadied(painted, picture, *before)
        before = painted, picture
        painted = _coloured(painted, picture, colour)
        result[number] = torch.lerp(picture, painted, fraction[number][..., None])
        if progress is not None:
            progress(number + 1, len(rgb))
    return result if alpha is None else torch.cat([result, alpha], -1)


def _first_pass(network: FastStyle, picture: Tensor, tile: int) -> tuple[Statistics, Tensor | None]:
    """The statistics of every norm over the whole picture [H, W, 3], and what the pass painted.

    A picture that needs tiles is made smaller, to half a tile, and nothing is painted.
    """
    height, width = picture.shape[:2]
    x = picture.movedim(-1, 0)[None]
    is_small = max(height, width) <= tile
    if not is_small:
        scale = tile / 2 / max(height, width)
        size = [max(MIN_SIDE, round(side * scale)) for side in (height, width)]
        x = F.interpolate(x, size, mode="bilinear", antialias=True)
    painted = network(_padded(x).contiguous(memory_format=torch.channels_last) * 255) / 255
    if not is_small:
        return network.statistics(), None
    return network.statistics(), painted[0, :, :height, :width].movedim(0, -1).clamp(0, 1)


def _painted(network: FastStyle, picture: Tensor, statistics: Statistics, tile: int) -> Tensor:
    """The picture [H, W, 3] painted with given statistics, in tiles where it is large."""
    fixed = network.normalised_by(statistics)
    x = _padded(picture.movedim(-1, 0)[None]).contiguous(memory_format=torch.channels_last)
    margin = -(-network.reach // STEP) * STEP
    height, width = x.shape[2:]
    result = torch.empty_like(x)
    tile = max(STEP, tile // STEP * STEP)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(0, top - margin), max(0, left - margin)
            below, after = min(height, bottom + margin), min(width, right + margin)
            part = fixed(x[:, :, above:below, before:after] * 255) / 255
            result[:, :, top:bottom, left:right] = part[
                :, :, top - above : bottom - above, left - before : right - before
            ]
    return result[0, :, : picture.shape[0], : picture.shape[1]].movedim(0, -1).clamp(0, 1)


def _padded(x: Tensor) -> Tensor:
    """Sides made multiples of STEP by mirroring."""
    right, bottom = -x.shape[3] % STEP, -x.shape[2] % STEP
    return F.pad(x, (0, right, 0, bottom), mode="reflect") if right or bottom else x


def _coloured(painted: Tensor, picture: Tensor, colour: str) -> Tensor:
    if colour == COLOUR_MODES[1]:
        return match_colours(painted, picture)
    if colour == COLOUR_MODES[2]:
        return with_luminance(picture, luminance(painted))
    return painted
