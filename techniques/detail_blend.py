"""Blends that take the edit's colours and keep the original's detail.

They are for edits that recolour something and leave its shape: hair, skin, clothes. The painting of
a small or blurry model becomes as sharp as the photograph.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .lab import lab_to_rgb, rgb_to_lab
from .soft_mask import gaussian_blur

# Detail is what is finer than this fraction of the square root of the edit's area.
DETAIL_FRACTION = 0.06
# Larger for `tone_blend`, so that what a small model smears, such as lips over a chin, is detail.
TONE_FRACTION = 0.15
MAX_SIGMA = 20  # pixels


def colour_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's a* and b* on the original's lightness, by a matte [H, W], for [H, W, 3] pictures.

    It is the blend mode "Color" of image editors, in L*a*b*.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    return _changed(original, before, before[..., :1], after[..., 1:], matte)


def detail_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's colours and light with the original's fine detail, shapes as in `colour_blend`.

    L* = G * L*_edit + (L*_original - G * L*_original), where the Gaussian G averages over the
    edited area only, so that its surroundings do not bleed in. a* and b* are the edit's.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    change = _smooth(after[..., :1] - before[..., :1], matte, DETAIL_FRACTION)
    return _changed(original, before, before[..., :1] + change, after[..., 1:], matte)


def tone_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's change of tone on all of the original's detail, shapes as in `colour_blend`.

    As `detail_blend`, but a* and b* change by a smooth amount, too: small things of another colour,
    such as eyes and teeth in a face, stay as different from their surroundings as they are.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    lab = before + _smooth(after - before, matte, TONE_FRACTION)
    return _changed(original, before, lab[..., :1], lab[..., 1:], matte)


def _smooth(change: Tensor, matte: Tensor, fraction: float) -> Tensor:
    """A change [H, W, C] without its detail, averaged inside the matte [H, W] alone."""
    area = float(matte.sum() / matte.max().clamp(min=1e-6))
    inside = (matte > 0).to(matte)
    planes = torch.cat([change.movedim(-1, 0) * inside, inside.unsqueeze(0)])
    blurred = _blurred(planes, fraction * area**0.5)
    return (blurred[:-1] / blurred[-1].clamp(min=1e-6)).movedim(0, -1)


def _blurred(planes: Tensor, sigma: float) -> Tensor:
    """Planes [C, H, W] under a Gaussian; a wide one blurs a smaller copy, which shows no less."""
    height, width = planes.shape[1:]
    shrink = min(sigma / MAX_SIGMA, height / 2, width / 2)
    if shrink <= 1:
        return gaussian_blur(planes, sigma)
    size = (round(height / shrink), round(width / shrink))
    small = F.interpolate(planes[None], size, mode="area")[0]
    blurred = gaussian_blur(small, sigma / shrink)
    return F.interpolate(blurred[None], (height, width), mode="bilinear")[0]


def _changed(
    original: Tensor, before: Tensor, lightness: Tensor, colour: Tensor, matte: Tensor
) -> Tensor:
    """The original plus the change in L*a*b*; exactly the original where nothing changes."""
    change = lab_to_rgb(torch.cat([lightness, colour], -1)) - lab_to_rgb(before)
    return original + change * matte.unsqueeze(-1)
