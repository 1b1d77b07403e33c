"""What an inpainting UNet with 9 input channels is shown: a mask that stays soft.

The five extra channels are the mask at latent size and the latent of the picture with the masked
part greyed out. Both are usually rounded to 0 and 1; here the mask's own values reach the UNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha

LATENT_FACTOR = 8


@dataclass(frozen=True)
class InpaintCondition:
    """A picture ready for inpainting, padded to whole latent cells on its right and bottom.

    image [B, H, W, 3] and mask [B, H, W] at multiples of 8 px; latent [B, 4, h, w] of the picture
    and masked_latent [B, 4, h, w] of the greyed picture, both as the VAE gave them; latent_mask
    [B, 1, h, w] in 0..1; concat [B, 5, h, w] = latent_mask and the scaled masked_latent, the
    UNet's channels 5 to 9.
    """

    image: Tensor
    mask: Tensor
    latent: Tensor
    masked_latent: Tensor
    latent_mask: Tensor
    concat: Tensor


def inpaint_condition(
    image: Tensor,
    mask: Tensor,
    encode: Callable[[Tensor], Tensor],
    latent_scale: float,
    soft: bool = True,
) -> InpaintCondition:
    """Encode a picture [B, H, W, 3] and a mask [B, H, W] for a 9-channel inpainting UNet.

    encode maps pictures [B, H, W, 3] in 0..1 to latents [B, 4, h, w] (the posterior's mean) and
    latent_scale is the factor between those and what the UNet was trained on (0.18215 for
    SD 1.5). With soft off the mask is rounded first, which is ComfyUI's and diffusers' habit.
    Raises ValueError for shapes that do not fit.
    """
    image, _ = split_alpha(as_image(image))
    mask = fit_mask(as_mask(mask), *image.shape[1:3])
    image, mask = match_batch(image, mask, "image", "mask")
    image = pad_to_cells(image.movedim(-1, 1)).movedim(1, -1)
    mask = pad_to_cells(mask.unsqueeze(1)).squeeze(1)
    shown = mask if soft else mask.round()
    masked = (image - 0.5) * (1 - shown).unsqueeze(-1) + 0.5
    latent, masked_latent = encode(image), encode(masked)
    latent_mask = to_latent_size(mask, soft).to(masked_latent.device)
    concat = torch.cat((latent_mask, masked_latent * latent_scale), dim=1)
    return InpaintCondition(image, mask, latent, masked_latent, latent_mask, concat)


def to_latent_size(mask: Tensor, soft: bool = True) -> Tensor:
    """Mask [B, H, W], multiples of 8 px, as [B, 1, H/8, W/8]: each cell's mean, soft or rounded."""
    cells = F.avg_pool2d(mask.unsqueeze(1), LATENT_FACTOR)
    return cells if soft else cells.round()


def pad_to_cells(planes: Tensor) -> Tensor:
    """Planes [B, C, H, W] continued by their last row and column up to multiples of 8."""
    height, width = planes.shape[-2:]
    missing = (-width % LATENT_FACTOR, -height % LATENT_FACTOR)
    return (
        F.pad(planes, (0, missing[0], 0, missing[1]), mode="replicate") if any(missing) else planes
    )
