"""Lanczos resampling of pictures, both ways: sharp when enlarging, antialiased when shrinking.

Duchon, "Lanczos Filtering in One and Two Dimensions", 1979, with three lobes; the same numbers as
Pillow's LANCZOS on float pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOBES = 3


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Pictures [B, H, W, C] in 0..1 at [B, height, width, C]; their own size is the identity."""
    if tuple(image.shape[1:3]) == (height, width):
        return image
    rows, columns = _weights(image.shape[1], height), _weights(image.shape[2], width)
    return _separable(image, rows.to(image), columns.to(image)).clamp(0, 1)


def reached(pixels: Tensor, height: int, width: int) -> Tensor:
    """Which pixels [height, width] of the resized picture depend on any of `pixels` bool [H, W]."""
    if tuple(pixels.shape) == (height, width):
        return pixels
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    counted = pixels.float()[None, ..., None]
    return _separable(counted, *(w.abs().to(counted) for w in (rows, columns)))[0, ..., 0] > 0


def _weights(source: int, target: int) -> Tensor:
    """What each of `source` pixels gives to each of `target`, [target, source]; rows sum to 1."""
    stretch = source / target
    # When shrinking, the kernel widens with the pixels, which keeps fine patterns from aliasing.
    reach = max(stretch, 1.0)
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * stretch - 0.5
    distance = (torch.arange(source, dtype=torch.float64) - centres[:, None]) / reach
    kernel = torch.sinc(distance) * torch.sinc(distance / LOBES) * (distance.abs() < LOBES)
    return (kernel / kernel.sum(1, keepdim=True)).float()


def _separable(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    # Each direction is one matrix product, which costs less than gathering the few taps.
    return (rows @ image.movedim(-1, 1) @ columns.T).movedim(1, -1).contiguous()
