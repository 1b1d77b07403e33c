"""Smooth filling of the parts of a picture that are not known.

Push-pull filling (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): weighted means on
ever coarser grids, then each grid's unknown cells take the interpolated values of the next coarser
one. It needs no model; what it fills is smooth, without detail.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fill_smooth(image: Tensor, weight: Tensor) -> Tensor:
    """Return `image` with its unknown pixels filled from the known ones around them.

    image: [B, H, W, C]. weight: [B, H, W] in 0..1, how far each pixel is known: a pixel of weight 1
    keeps its value, one of weight 0 is filled. Where nothing is known the result is 0.5.
    """
    values, known = image.movedim(-1, 1), weight.unsqueeze(1)
    return _fill(values, known).movedim(1, -1)


def _fill(values: Tensor, known: Tensor) -> Tensor:
    if values.shape[-2:] == (1, 1):
        return known * values + (1 - known) * torch.where(known > 0, values, 0.5)
    sums = F.avg_pool2d(values * known, 2, ceil_mode=True)
    means = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = _fill(sums / means.clamp_min(1e-8), (4 * means).clamp_max(1))
    smooth = F.interpolate(coarse, values.shape[-2:], mode="bilinear", align_corners=False)
    return known * values + (1 - known) * smooth
