"""A masked part removed: the ways in which its hole can be filled without a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.user_input import require_choice
from .hole_fill import fill_smooth
from .patch_fill import fill_patches
from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha

METHODS = ("patches", "smooth")


def fill_mask(
    image: Tensor,
    mask: Tensor,
    method: str = METHODS[0],
    seed: int = 0,
    avoid: Tensor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Fill the masked part of pictures [B, H, W, C] in 0..1 from around it; returns [B, H, W, 3].

    mask: [B, H, W]; every pixel above 0 is filled, and a soft value blends the filling in. Where
    the mask is 0 pictures stay bit for bit. avoid: [B, H, W], from where above 0 no patch is taken.

    Raises ValueError for an unknown method, and where a mask leaves nothing to fill from.
    """
    require_choice("method", method, METHODS)
    pictures, _ = split_alpha(as_image(image))
    pictures, planes = match_batch(pictures, _fitting(mask, pictures, "mask"), "image", "mask")
    never = torch.zeros_like(planes) if avoid is None else _fitting(avoid, pictures, "avoid")
    never, _ = match_batch(never, planes, "avoid", "mask")
    filled = []
    for number, picture in enumerate(pictures):
        plane, taboo = planes[number], never[number]
        progress(number, len(pictures))
        if not (plane == 0).any():
            raise ValueError(
                f"The mask covers all of picture {number}, so there is nothing to fill it from. "
                "Make the mask smaller."
            )
        filled.append(_filled(picture, plane, method, seed, taboo) if plane.any() else picture)
    progress(len(pictures), len(pictures))
    return torch.stack(filled)


def _fitting(mask: Tensor, pictures: Tensor, name: str) -> Tensor:
    return fit_mask(as_mask(mask, name).to(pictures.device), *pictures.shape[1:3], name)


def _filled(picture: Tensor, mask: Tensor, method: str, seed: int, avoid: Tensor) -> Tensor:
    hole = mask > 0
    if method == "smooth":
        whole = fill_smooth(picture.unsqueeze(0), (~hole).float().unsqueeze(0))[0]
    else:
        whole = fill_patches(picture, hole, seed, avoid > 0)
    mixed = torch.lerp(picture, whole.clamp(0, 1), mask.unsqueeze(-1))
    return torch.where(hole.unsqueeze(-1), mixed, picture)
