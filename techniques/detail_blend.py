"""Blends that take the edit's colours and keep the original's detail.

They are for edits that recolour something and leave its shape: hair, skin, clothes. The painting of
a small or blurry model becomes as sharp as the photograph.
"""

import torch
from torch import Tensor

from .guided_filter import at_size, guided_filter, small_copy
from .lab import lab_to_rgb, rgb_to_lab
from .soft_mask import gaussian_blur

# Detail is what is finer than this fraction of the square root of the edit's area.
DETAIL_FRACTION = 0.06
# Larger for `tone_blend`, so that what a small model smears, such as lips over a chin, is detail,
# and a part changes as a whole.
TONE_FRACTION = 0.3
# Windows in which the original's edges hold the edit's colours, and the matte.
COLOUR_FRACTION = 0.04
MATTE_FRACTION = 0.2


def colour_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's a* and b* on the original's lightness, by a matte [H, W], for [H, W, 3] pictures.

    It is the blend mode "Color" of image editors, in L*a*b*.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    lab = torch.cat([before[..., :1], after[..., 1:]], -1)
    return changed_lab(original, before, lab, follow_edges(matte, before))


def detail_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's colours and light with the original's fine detail, shapes as in `colour_blend`.

    L* = G * L*_edit + (L*_original - G * L*_original), where the Gaussian G averages over the
    edited area only, so that its surroundings do not bleed in. a* and b* are the edit's, guided by
    the original: they end at its edges, where a small model's run over them.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    change = after - before
    lightness = _smooth(change[..., :1], matte, DETAIL_FRACTION)
    colour, _ = guided_filter(change[..., 1:], before, matte, COLOUR_FRACTION * _side(matte))
    lab = before + torch.cat([lightness, colour], -1)
    return changed_lab(original, before, lab, follow_edges(matte, before))


def tone_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit's change of tone on all of the original's detail, shapes as in `colour_blend`.

    As `detail_blend`, but a* and b* change by a smooth amount, too: small things of another colour,
    such as eyes and teeth in a face, stay as different from their surroundings as they are.
    """
    before, after = rgb_to_lab(original), rgb_to_lab(edited)
    lab = before + _smooth(after - before, matte, TONE_FRACTION)
    return changed_lab(original, before, lab, follow_edges(matte, before))


def follow_edges(matte: Tensor, picture: Tensor) -> Tensor:
    """The matte [H, W], fainter where a picture [H, W, 3] in L*a*b* has the colours around it.

    A pixel for which the guided filter gives less than it would without colours looks like what is
    outside, and gets the square of their ratio as its factor. So no value grows, and where the
    picture is flat none changes. Blends that keep the original's shapes give almost no halo then.
    """
    if matte.min() == matte.max():
        return matte  # nothing is outside
    everywhere = torch.ones_like(matte)
    sigma = MATTE_FRACTION * _side(matte)
    guided, mean = guided_filter(matte.unsqueeze(-1), picture, everywhere, sigma)
    factor = (guided / mean.clamp(min=1e-6)).clamp(0, 1).square()
    return matte * factor.squeeze(-1)


def _side(matte: Tensor) -> float:
    """The side in pixels of a square as large as a matte's inside, however faint the matte is."""
    return float(matte.sum() / matte.max().clamp(min=1e-6)) ** 0.5


def _smooth(change: Tensor, matte: Tensor, fraction: float) -> Tensor:
    """A change [H, W, C] without its detail, averaged by the matte [H, W], so inside it alone."""
    planes = torch.cat([change.movedim(-1, 0) * matte, matte.unsqueeze(0)])
    blurred = gaussian_blur(*small_copy(planes, fraction * _side(matte)))
    blurred = at_size(blurred, matte.shape)
    return (blurred[:-1] / blurred[-1].clamp(min=1e-6)).movedim(0, -1)


def changed_lab(original: Tensor, before: Tensor, after: Tensor, matte: Tensor) -> Tensor:
    """The original [H, W, 3] plus the change from `before` to `after` in L*a*b*, by a matte [H, W].

    It is exactly the original where nothing changes.
    """
    return original + (lab_to_rgb(after) - lab_to_rgb(before)) * matte.unsqueeze(-1)
