"""What a mask marks in another colour, without a model: one shift of every pixel in L*a*b*."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from PIL import ImageColor
from torch import Tensor

from .detail_blend import changed_lab, follow_edges
from .lab import rgb_to_lab
from .pixel_blend import change_parts
from .shapes import as_image, as_mask, fit_mask, match_batch

# Fraction of the mask's peak from which a pixel surely belongs to the part.
INSIDE = 0.9


def recolour(
    image: Tensor,
    mask: Tensor,
    colour: str,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pictures [B, H, W, C] with the masked part [B, H, W] in another colour.

    The mean of each connected part becomes `colour`, and every contrast in it stays: strands,
    folds, pores. The change ends at the picture's own edges where a soft mask reaches a few pixels
    over them. A `strength` of 1 is the whole change, 0 the picture as it is, bit for bit.
    `progress` is called with the number of pictures done and their total.

    Raises ValueError for another strength, and for what `parse_colour`, `as_image` and `as_mask`
    refuse.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; expected 0 to 1.")
    image = as_image(image)
    mask = fit_mask(as_mask(mask), *image.shape[1:3]).to(image)
    image, mask = match_batch(image, mask, "image", "mask")
    target = rgb_to_lab(image.new_tensor(parse_colour(colour)))

    def change(number: int, rows: slice, columns: slice, part: Tensor) -> Tensor:
        return shift_colour(image[number, rows, columns, :3], target, part)

    return change_parts(image, mask * strength, change, progress)


def shift_colour(picture: Tensor, target: Tensor, matte: Tensor) -> Tensor:
    """A picture [H, W, 3] whose part under a matte [H, W] has a mean colour [3] in L*a*b*."""
    before = rgb_to_lab(picture)
    inside = follow_edges(matte, before)
    # Squared, so that the mean is that of the part and not of what its soft edge lies on.
    weights = inside.square()
    mean = torch.einsum("hwc,hw->c", before, weights) / weights.sum().clamp(min=1e-12)
    lab = before + (target - mean)
    # On the soft edge hair is mixed with skin and wall, which must not end up lighter than both.
    room = 100 * ((matte / matte.max().clamp(min=1e-6) - INSIDE) / (1 - INSIDE)).clamp(0, 1)
    lowest, highest = (pick(before[..., 0], target[0]) for pick in (torch.minimum, torch.maximum))
    lab[..., 0] = lab[..., 0].clamp(lowest - room, highest + room)
    return changed_lab(picture, before, lab, inside)


def parse_colour(text: str) -> tuple[float, float, float]:
    """Red, green and blue in 0..1 of "#7a3a22", "7a3a22", "#a31", a name of CSS or "rgb(..)".

    Raises ValueError for anything else.
    """
    text = str(text).strip()
    if re.fullmatch("[0-9a-fA-F]{6}", text):
        text = f"#{text}"
    try:
        values = ImageColor.getrgb(text)
    except ValueError:
        values = ()
    if len(values) != 3 or max(values) > 255:
        raise ValueError(
            f'colour is "{text}"; expected six hexadecimal digits such as "#7a3a22", or a name '
            'such as "teal".'
        )
    red, green, blue = values
    return red / 255, green / 255, blue / 255
