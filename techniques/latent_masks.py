"""Masks of pictures at the sizes inside a diffusion model: latent cells and attention tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..diffusion.latent import LATENT_FACTOR, pad_to_cells, to_latent_size
from .shapes import fit_mask


def cell_mask(mask: Tensor, height: int, width: int, name: str = "mask") -> Tensor:
    """Mask [B, H, W] of a picture as [B, 1, height, width], each latent cell's mean.

    A picture whose sides are no multiples of 8 was cropped in its middle by VAE Encode, or padded
    at its right and bottom by our nodes; the mask goes the same way. Raises ValueError, naming
    both sizes, for a mask of another picture.
    """
    sides = (height * LATENT_FACTOR, width * LATENT_FACTOR)
    extra = [have - wanted for have, wanted in zip(mask.shape[-2:], sides, strict=True)]
    if all(0 <= more < LATENT_FACTOR for more in extra):
        top, left = (more // 2 for more in extra)
        mask = mask[:, top : top + sides[0], left : left + sides[1]]
    elif all(-LATENT_FACTOR < more <= 0 for more in extra):
        mask = pad_to_cells(mask.unsqueeze(1)).squeeze(1)
    return to_latent_size(fit_mask(mask, *sides, name))


def token_mask(mask: Tensor, tokens: int) -> Tensor:
    """Mask [B, 1, h, w] for the tokens [B, tokens] of one attention layer, pooled by area.

    A UNet halves its latent level by level, rounding up, so the number of tokens tells the grid.
    Raises ValueError where no level has so many.
    """
    height, width = mask.shape[-2:]
    grid = (height, width)
    while grid[0] * grid[1] > tokens:
        grid = (-(-grid[0] // 2), -(-grid[1] // 2))
    if grid[0] * grid[1] != tokens:
        raise ValueError(
            f"The mask has {width} x {height} cells, and an attention layer works on {tokens} "
            "tokens, which is no level of that. Prompts that are limited to an area, and tiled "
            "sampling, cannot be combined with this mask."
        )
    return F.adaptive_avg_pool2d(mask, grid).flatten(1)
