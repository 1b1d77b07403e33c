"""Adaptive instance normalisation of latents: colours and contrast of one picture for another.

Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"
(ICCV 2017), eq. 8, with the statistics of each channel of the latent:
    AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y).
On two inverted pictures' noise it is the initial latent of StyleID (Chung et al., CVPR 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .shapes import match_batch

# Below this standard deviation a channel counts as flat, without contrast to scale.
FLAT = 1e-6


def channel_statistics(latent: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [B, C, 1, 1] of each channel of latents [B, C, h, w].

    weight [B, 1, h, w] in 0..1: what counts and how much; all of it alike when None. Both are 0
    where nothing counts.
    """
    weight = torch.ones_like(latent[:, :1]) if weight is None else weight.to(latent)
    total = weight.sum(dim=(2, 3), keepdim=True).clamp(min=FLAT)
    mean = (weight * latent).sum(dim=(2, 3), keepdim=True) / total
    variance = (weight * (latent - mean).square()).sum(dim=(2, 3), keepdim=True) / total
    return mean, variance.sqrt()


def latent_adain(
    content: Tensor,
    style: Tensor,
    strength: float = 1.0,
    content_mask: Tensor | None = None,
    style_mask: Tensor | None = None,
) -> Tensor:
    """Latents [B, C, h, w] of the content with each channel's mean and spread of the style's.

    style [B or 1, C, h', w'] may have another size; strength 0..1 mixes the result with the
    content. content_mask [B or 1, 1, h, w]: what is measured and, softly, what changes; the rest
    stays to the bit. style_mask [S or 1, 1, h', w']: what is measured of the style. Raises
    ValueError for batches or channels that do not match, and a mask that leaves no style.
    """
    if content.shape[1] != style.shape[1]:
        raise ValueError(
            f"The content's latent has {content.shape[1]} channels {list(content.shape)} and the "
            f"style's has {style.shape[1]} {list(style.shape)}. Encode both with the same VAE."
        )
    style = style.to(content)
    if style_mask is not None:
        style, style_mask = match_batch(style, style_mask, "the style's latent", "style_mask")
        if not style_mask.flatten(1).any(dim=1).all():
            raise ValueError("style_mask is empty and leaves nothing of the style's picture.")
    mean, spread = channel_statistics(style, style_mask)
    content, mean = match_batch(content, mean, "the content's latent", "the style's latent")
    fraction = torch.full_like(content[:, :1], strength)
    if content_mask is not None:
        content, content_mask = match_batch(content, content_mask, "content", "content_mask")
        fraction = fraction * content_mask.to(content)
    own_mean, own_spread = channel_statistics(content, content_mask)
    styled = spread * (content - own_mean) / own_spread.clamp(min=FLAT) + mean
    return torch.where(fraction > 0, content.lerp(styled, fraction), content)
