"""The edited picture blended into the original, and the proof that the background is untouched.

I_blend = I_result * M_soft + I * (1 - M_soft), eq. 10 of Kang et al., "High-Fidelity Face Swap via
Prompt-Driven Inpainting and Pixel-Level Background Preservation", 2026; with other blends and a
tone match beside it. Whatever the mode, where the matte is 0 the result is the original, bit for
bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import fmean

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.user_input import require_choice
from .detail_blend import colour_blend, detail_blend, tone_blend
from .lab import lab_to_rgb, rgb_to_lab, weighted_moments
from .laplacian_blend import laplacian_blend
from .poisson_blend import poisson_blend
from .shapes import (
    as_image,
    as_mask,
    fit_mask,
    is_padded,
    match_batch,
    same_aspect,
    split_alpha,
    trim_padding,
)

GAIN_LIMITS = (0.5, 2.0)
# Smallest sum of the ring's weights, in pixels at a matte of one half, that gives its light.
MIN_RING = 32.0


def linear_blend(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """Eq. 10 for [H, W, 3] pictures and a matte [H, W], exact at 0 and at 1."""
    return torch.lerp(original, edited, matte.unsqueeze(-1))


BLENDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear": linear_blend,
    "laplacian": laplacian_blend,
    "poisson": poisson_blend,
    "colour": colour_blend,
    "detail": detail_blend,
    "tone": tone_blend,
}
# Those that may change shapes; the others keep the original's detail.
RESHAPING = ("linear", "laplacian", "poisson")
TONE_MATCHES = ("off", "lab")


def blend(
    edited: Tensor,
    original: Tensor,
    matte: Tensor,
    mode: str = "linear",
    tone_match: str = "off",
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The pictures `original` [B, H, W, C] with `edited` blended in by `matte` [B, H, W].

    Modes: "linear" (eq. 10), "laplacian" (wide transitions for tones, narrow for detail),
    "poisson" (the edit's gradients on the original's colours), "colour" (the edit's a* and b*
    only), "detail" (the edit's colours and light, the original's fine detail) and "tone" (the
    edit's change of tone, the original's fine detail and colours). Tone match "lab" first gives
    each connected part of the edit the original's mean and spread in L*a*b*, measured on the
    matte's ring (see `match_tone`). Each of the three may be a batch of 1. `edited` may carry up to
    7 pixels of padding at the right and bottom; where the detail is not its own ("colour", "detail"
    and "tone") it may have any size of the original's aspect ratio, and is resized. An alpha
    channel stays the original's. `progress` is called with the number of pictures done and their
    total.

    Raises ValueError for an unknown mode, pictures or mattes that do not belong together, and an
    edit that holds NaN, also where the matte would hide it.
    """
    require_choice("mode", mode, BLENDS)
    require_choice("tone_match", tone_match, TONE_MATCHES)
    original = as_image(original, "original")
    edited, _ = split_alpha(as_image(edited, "edited"))
    matte = as_mask(matte, "mask")
    height, width = original.shape[1:3]
    edited = _fitted(edited, height, width, mode).to(original)
    matte = fit_mask(matte, height, width).to(original)
    edited, matte = match_batch(edited, matte, "edited", "mask")
    original, edited = match_batch(original, edited, "original", "edited")
    original, matte = match_batch(original, matte, "original", "mask")

    def change(number: int, rows: slice, columns: slice, part: Tensor) -> Tensor:
        before, after = original[number, rows, columns, :3], edited[number, rows, columns]
        if tone_match == "lab":
            after = match_tone(after, before, part)
        return BLENDS[mode](after, before, part)

    return change_parts(original, matte, change, progress)


def change_parts(
    original: Tensor,
    matte: Tensor,
    change: Callable[[int, slice, slice, Tensor], Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pictures [B, H, W, C] with each connected part of a matte [B, H, W] changed.

    change(number, rows, columns, part) gives the colours [h, w, 3] of a rectangle of that picture,
    of which `part` [h, w] is the matte. Where the matte is 0 nothing changes.
    """
    result = original.clone()
    for k in range(len(result)):
        for rows, columns, part in _parts(matte[k]):
            blended = change(k, rows, columns, part).clamp(0, 1)
            inside = (part > 0).unsqueeze(-1)
            # Parts' rectangles may overlap, so what is there already stays.
            target = result[k, rows, columns, :3]
            target.copy_(torch.where(inside, blended, target))
        if progress is not None:
            progress(k + 1, len(result))
    return result


def _fitted(edited: Tensor, height: int, width: int, mode: str) -> Tensor:
    """The edit [B, h, w, 3] at the original's size; resized where its detail does not count."""
    size, wanted = edited.shape[1:3], (height, width)
    if mode in RESHAPING or is_padded(size, wanted) or not same_aspect(size, wanted):
        return trim_padding(edited, height, width, "edited")
    channels_first = edited.movedim(-1, 1)
    resized = F.interpolate(channels_first, wanted, mode="bicubic", antialias=size[0] > height)
    return resized.movedim(1, -1).clamp(0, 1)


def match_tone(edited: Tensor, original: Tensor, matte: Tensor) -> Tensor:
    """The edit [H, W, 3] with the original's light and skin tone, as seen on the matte's ring.

    Mean and standard deviation of each L*a*b* channel move to the original's; the gain stays
    within 0.5..2. Both pictures show the same thing where the matte M [H, W] passes from 0 to 1,
    so each pixel there counts 4 M (1 - M). A matte without such a ring changes nothing.

    After Reinhard et al., "Color transfer between images", 2001, eq. 10 and 11.
    """
    ring = (4 * matte * (1 - matte)).unsqueeze(-1)
    if ring.sum() < MIN_RING:
        return edited
    lab = rgb_to_lab(edited)
    mean, spread = weighted_moments(lab, ring)
    wanted_mean, wanted_spread = weighted_moments(rgb_to_lab(original), ring)
    gain = (wanted_spread / spread.clamp(min=1e-3)).clamp(*GAIN_LIMITS)
    return lab_to_rgb((lab - mean) * gain + wanted_mean)


@dataclass(frozen=True)
class PictureProof:
    """What a blend did to one picture.

    Attributes:
        outside_max_abs_diff: largest change of a value where the matte is 0; must be 0.
        outside_pixels: how many pixels that was checked on.
        ring_colour_shift: mean change in L*, a*, b* where the matte is between 0 and 1.
        mask_share: the matte's mean over the picture.
        changed_share: the fraction of its pixels whose 8-bit colour has changed.
    """

    outside_max_abs_diff: float
    outside_pixels: int
    ring_colour_shift: tuple[float, float, float]
    mask_share: float
    changed_share: float


@dataclass(frozen=True)
class BlendProof:
    """What a blend did to a batch of pictures, and to each."""

    pictures: tuple[PictureProof, ...]

    @property
    def outside_max_abs_diff(self) -> float:
        return max(picture.outside_max_abs_diff for picture in self.pictures)

    @property
    def outside_pixels(self) -> int:
        return sum(picture.outside_pixels for picture in self.pictures)

    @property
    def ring_colour_shift(self) -> tuple[float, float, float]:
        lightness, a, b = zip(
            *(picture.ring_colour_shift for picture in self.pictures), strict=True
        )
        return fmean(lightness), fmean(a), fmean(b)

    @property
    def mask_share(self) -> float:
        return fmean(picture.mask_share for picture in self.pictures)

    @property
    def changed_share(self) -> float:
        return fmean(picture.changed_share for picture in self.pictures)

    def text(self) -> str:
        """One line for each picture, for people."""
        return "\n".join(
            f"picture {number}: {_verdict(picture)}; {picture.changed_share:.1%} of the pixels "
            f"changed (the mask's mean is {picture.mask_share:.1%}); "
            "shift on the ring L* {:+.2f}, a* {:+.2f}, b* {:+.2f}".format(
                *picture.ring_colour_shift
            )
            for number, picture in enumerate(self.pictures, start=1)
        )

    def json(self) -> str:
        """The figures of the batch, and under "pictures" those of each."""
        figures = {name: getattr(self, name) for name in PictureProof.__dataclass_fields__}
        return json.dumps(figures | {"pictures": [asdict(picture) for picture in self.pictures]})


def prove(result: Tensor, original: Tensor, matte: Tensor) -> BlendProof:
    """Compares a result [B, H, W, C] with the original it was blended into by a matte [B, H, W].

    Alpha is compared where both have it.

    Raises ValueError for pictures or mattes that do not belong together.
    """
    result, original = as_image(result, "result"), as_image(original, "original")
    height, width = original.shape[1:3]
    if tuple(result.shape[1:3]) != (height, width):
        raise ValueError(
            f"result is {result.shape[2]} x {result.shape[1]} px but original is {width} x "
            f"{height} px; compare pictures of one size."
        )
    matte = fit_mask(as_mask(matte), height, width).to(result)
    original, matte = match_batch(original.to(result), matte, "original", "mask")
    result, original = match_batch(result, original, "result", "original")
    result, matte = match_batch(result, matte, "result", "mask")
    pictures = zip(result, original, matte, strict=True)
    return BlendProof(tuple(_prove_picture(*picture) for picture in pictures))


def _prove_picture(result: Tensor, original: Tensor, matte: Tensor) -> PictureProof:
    outside, ring = matte == 0, (matte > 0) & (matte < 1)
    channels = min(result.shape[-1], original.shape[-1])
    before, after = original[..., :channels], result[..., :channels]
    change = (after - before)[outside].abs()
    changed = ((after * 255).round() != (before * 255).round()).any(dim=-1)
    shift = rgb_to_lab(result[..., :3][ring]) - rgb_to_lab(original[..., :3][ring])
    return PictureProof(
        outside_max_abs_diff=float(change.max()) if change.numel() else 0.0,
        outside_pixels=int(outside.sum()),
        ring_colour_shift=tuple(shift.mean(0).tolist()) if shift.numel() else (0.0, 0.0, 0.0),
        mask_share=float(matte.mean()),
        changed_share=float(changed.float().mean()),
    )


def _verdict(proof: PictureProof) -> str:
    if proof.outside_pixels == 0:
        return "the mask leaves no background"
    if proof.outside_max_abs_diff == 0:
        return f"background untouched, {proof.outside_pixels} pixels bit for bit"
    return (
        f"BACKGROUND CHANGED by up to {proof.outside_max_abs_diff:.6f} "
        f"in {proof.outside_pixels} pixels"
    )


def _parts(matte: Tensor) -> list[tuple[slice, slice, Tensor]]:
    """Connected parts of a matte [H, W], where it is above 0: rows, columns and the part's matte.

    The rectangle has one pixel of background around the part wherever the picture goes on.
    """
    binary = (matte > 0).byte().cpu().numpy()
    count, labels, table, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    parts = []
    for number in range(1, count):
        left, top, width, height = table[number, :4].tolist()
        rows, columns = (
            slice(max(top - 1, 0), top + height + 1),
            slice(max(left - 1, 0), left + width + 1),
        )
        own = torch.from_numpy(labels[rows, columns] == number).to(matte.device)
        parts.append((rows, columns, matte[rows, columns] * own))
    return parts
