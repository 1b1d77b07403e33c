"""Values that follow the edges of a picture: the guided filter.

K. He, J. Sun and X. Tang, "Guided Image Filtering" (PAMI 2013), with a guide of three colours
(section 3.5), here with Gaussian windows and a weight for each pixel. A wide filter fits a smaller
copy and meets the guide at its full size, as their "Fast Guided Filter" (2015) does.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .soft_mask import gaussian_blur

# Variance of colours, in L*a*b* units squared, up to which a window counts as flat.
FLAT_VARIANCE = 10.0
MAX_SIGMA = 20  # pixels; a wider Gaussian blurs a smaller copy
MIN_WEIGHT = 1e-6

Mean = Callable[[Tensor], Tensor]
"""Planes [C, h, w] averaged over the window of each pixel."""


def guided_filter(
    values: Tensor, guide: Tensor, weights: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """Values [H, W, C] as a smooth function of a guide's colours, and smooth without them.

    In every window, a Gaussian of `sigma` pixels times the weights [H, W], the values are fitted by
    a linear function of the guide [H, W, 3] in L*a*b*, and each pixel takes the mean of the fits of
    the windows around it (the paper's eqs. 19 to 21). The second result [H, W, C] is the mean of
    those windows' means, which is the first one where the guide is flat.
    """
    # About 0, so that the products of colours keep their small differences.
    guide = (guide - guide.mean((0, 1))).movedim(-1, 0)
    planes = torch.cat([guide, values.movedim(-1, 0), weights.unsqueeze(0)])
    small, small_sigma = small_copy(planes, sigma)
    weight = small[-1:]
    total = gaussian_blur(weight, small_sigma).clamp(min=MIN_WEIGHT)

    def mean(planes: Tensor) -> Tensor:
        return gaussian_blur(planes * weight, small_sigma) / total

    slopes, colour, centre = _fit(small[:3], small[3:-1], mean)
    offset = (slopes * colour.unsqueeze(1)).sum(0)
    fits = at_size(mean(torch.cat([slopes.flatten(0, 1), offset, centre])), weights.shape)
    channels = len(centre)
    slopes, offset, centre = fits.split([3 * channels, channels, channels])
    by_colour = (slopes.unflatten(0, (3, channels)) * guide.unsqueeze(1)).sum(0) - offset
    return (centre + by_colour).movedim(0, -1), centre.movedim(0, -1)


def small_copy(planes: Tensor, sigma: float) -> tuple[Tensor, float]:
    """Planes [C, H, W], made smaller where a Gaussian is wide, and the Gaussian's sigma there."""
    height, width = planes.shape[1:]
    shrink = min(sigma / MAX_SIGMA, height / 2, width / 2)
    if shrink <= 1:
        return planes, sigma
    size = (round(height / shrink), round(width / shrink))
    return F.interpolate(planes[None], size, mode="area")[0], sigma / shrink


def at_size(planes: Tensor, size: torch.Size) -> Tensor:
    """Smooth planes [C, h, w] at another size (H, W)."""
    if planes.shape[1:] == size:
        return planes
    return F.interpolate(planes[None], size, mode="bilinear")[0]


def _fit(guide: Tensor, values: Tensor, mean: Mean) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes [3, C, h, w], mean colours [3, h, w] and mean values [C, h, w] of the windows."""
    colour, centre = mean(guide), mean(values)
    covariance = _mean_products(guide, guide, mean) - colour.unsqueeze(1) * colour
    together = _mean_products(guide, values, mean) - colour.unsqueeze(1) * centre
    # Matrices of one pixel each: [h, w, 3, 3] and [h, w, 3, C].
    covariance, together = (part.movedim((0, 1), (-2, -1)) for part in (covariance, together))
    ridge = FLAT_VARIANCE * torch.eye(3).to(guide)
    slopes = torch.linalg.solve(covariance + ridge, together)
    return slopes.movedim((-2, -1), (0, 1)), colour, centre


def _mean_products(one: Tensor, other: Tensor, mean: Mean) -> Tensor:
    """The windows' means [C, D, h, w] of all products of planes [C, h, w] and [D, h, w]."""
    products = one.unsqueeze(1) * other
    return mean(products.flatten(0, 1)).unflatten(0, products.shape[:2])
