"""Blending in a Laplacian pyramid, inside the matte only.

Burt and Adelson, "A multiresolution spline with application to image mosaics", 1983: each band of
the pictures is blended over a width of its own, wide for tones and narrow for detail. Theirs
spreads the coarse bands to both sides of the seam, and so over pixels that must stay untouched.
Here a coarse weight is the lowest of the finer weights under it, so that where the matte is 0
every band's weight is exactly 0, and the blend fades in from there without a seam.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def laplacian_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """Blends [H, W, 3] pictures by a matte [H, W] in 0..1; the original exactly where that is 0.

    The pyramid is linear: only the difference of the pictures is taken apart and weighed. There
    are as many bands as leave the coarsest at least half of the matte.
    """
    band = (edited - original).movedim(-1, 0)
    weight = matte.unsqueeze(0)
    enough = matte.sum() / 2
    weighted = []
    while min(band.shape[1:]) > 1:
        coarse_weight = -F.max_pool2d(-weight, 5, stride=2, padding=2)
        if coarse_weight.sum() * 4 ** (len(weighted) + 1) < enough:
            break
        coarse = _reduce(band)
        weighted.append((band - _expand(coarse, band.shape[1:])) * weight)
        band, weight = coarse, coarse_weight
    change = band * weight
    for detail in reversed(weighted):
        change = _expand(change, detail.shape[1:]) + detail
    return original + change.movedim(0, -1)


def _reduce(values: Tensor) -> Tensor:
    """[C, H, W] at half the size (rounded up), blurred with the binomial kernel 1 4 6 4 1."""
    kernel = values.new_tensor([1, 4, 6, 4, 1]) / 16
    padded = F.pad(values, (2, 2, 2, 2), mode="replicate").unsqueeze(1)
    return F.conv2d(padded, torch.outer(kernel, kernel)[None, None], stride=2).squeeze(1)


def _expand(values: Tensor, size: tuple[int, int]) -> Tensor:
    """[C, h, w] at the double size, interpolated with the same kernel."""
    for axis, length in zip((-2, -1), size, strict=True):
        values = _expand_axis(values, axis, length)
    return values


def _expand_axis(values: Tensor, axis: int, length: int) -> Tensor:
    count = values.shape[axis]
    before = torch.cat([values.narrow(axis, 0, 1), values.narrow(axis, 0, count - 1)], axis)
    after = torch.cat([values.narrow(axis, 1, count - 1), values.narrow(axis, count - 1, 1)], axis)
    even, odd = (before + 6 * values + after) / 8, (values + after) / 2
    both = torch.stack([even.movedim(axis, -1), odd.movedim(axis, -1)], -1).flatten(-2)
    return both[..., :length].movedim(-1, axis)
