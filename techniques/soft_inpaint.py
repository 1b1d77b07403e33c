"""The input of an inpainting UNet with 9 channels, with a mask that stays soft.

The five extra channels are the mask at latent size and the latent of the picture with the masked
part greyed out. Both are usually rounded to 0 and 1; here the mask's own values reach the UNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.latent import pad_to_cells, to_latent_size
from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha


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
    SD 1.5). Without `soft` the mask is rounded first, as ComfyUI and diffusers do.
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
