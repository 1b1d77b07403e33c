"""The pictures that Neural Style works on: one at a time, checked, and at every size it paints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .shapes import as_image, as_mask, fit_mask, split_alpha

MIN_SIDE, MAX_SIDE = 16, 4096
MIN_DEVIATION = 1 / 255
"""The least standard deviation of a style picture's values; below it the picture has one colour."""
GROWTH = 1.43
"""How much larger each size is than the one before."""


def one_picture(image: Tensor, name: str) -> Tensor:
    """[H, W, 3] of a picture [H, W, C] or [1, H, W, C]."""
    pictures = split_alpha(as_image(image, name))[0]
    if len(pictures) != 1:
        raise ValueError(f"{name} holds {len(pictures)} pictures; give one at a time.")
    return pictures[0].clamp(0, 1)


def painting(image: Tensor, number: int, like: Tensor) -> Tensor:
    """Style picture `number` as [h, w, 3], with the dtype and on the device of `like`.

    Raises ValueError for one that is smaller than a brush stroke, or of one colour.
    """
    picture = one_picture(image, f"style {number}").to(like)
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"Style picture {number} is {width} x {height} px, smaller than a brush stroke; give "
            f"one of {MIN_SIDE} px at least, better 300 and more."
        )
    if picture.flatten(0, 1).std(0).max() < MIN_DEVIATION:
        raise ValueError(f"Style picture {number} has one colour only, so there is no style in it.")
    return picture


def one_mask(mask: Tensor, height: int, width: int, name: str) -> Tensor:
    """[1, H, W] of one mask for a picture."""
    masks = fit_mask(as_mask(mask, name), height, width, name)
    if len(masks) != 1:
        raise ValueError(f"{name} holds {len(masks)} masks for one picture.")
    return masks


def require_size(height: int, width: int, size: int) -> None:
    """Raise ValueError for a picture or a painting of a size that cannot be painted."""
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"The picture is {width} x {height} px; painting needs {MIN_SIDE} px at least."
        )
    long_side = size or max(height, width)
    if long_side > MAX_SIDE:
        raise ValueError(
            f"The painting would be {long_side} px long and the limit is {MAX_SIDE}: it takes "
            f"memory for every pixel. Set size to {MAX_SIDE} or less and upscale afterwards."
        )


def target_size(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) of a picture whose longer side becomes `size`; 0 keeps it as it is."""
    if size == 0:
        return height, width
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def coarse_to_fine(size: tuple[int, int], coarsest: float, smallest: int) -> list[tuple[int, int]]:
    """(height, width) of every size, the coarsest first."""
    sizes, scale = [size], 1.0
    while scale / GROWTH >= coarsest and min(size) * scale / GROWTH >= smallest:
        scale /= GROWTH
        sizes.append((round(size[0] * scale), round(size[1] * scale)))
    return sizes[::-1]


def with_alpha(result: Tensor, image: Tensor) -> Tensor:
    """The result [H, W, 3] with the picture's transparency, if it has any."""
    alpha = split_alpha(as_image(image))[1]
    if alpha is None:
        return result
    alpha = resized(alpha.movedim(-1, 1), tuple(result.shape[:2]))
    return torch.cat([result, alpha[0].movedim(0, -1).to(result)], -1)


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """[1, C, H, W] at another size, in 0..1."""
    if tuple(values.shape[2:]) == tuple(size):
        return values
    smaller = size[0] < values.shape[2]
    mode = "bilinear" if smaller else "bicubic"
    scaled = F.interpolate(values, tuple(size), mode=mode, antialias=smaller, align_corners=False)
    return scaled.clamp(0, 1)
