"""The latent space of Stable Diffusion: cells, scale, and masks and pictures that fit its cells."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LATENT_FACTOR = 8
"""Pixels along a side of one latent cell."""

LATENT_SCALE = 0.18215
"""What a VAE's latents are multiplied by before the UNet of SD 1 and 2 sees them."""


def to_latent_size(mask: Tensor, soft: bool = True) -> Tensor:
    """Mask [B, H, W], multiples of 8 px, as [B, 1, H/8, W/8]: each cell's mean, soft or rounded."""
    cells = F.avg_pool2d(mask.unsqueeze(1), LATENT_FACTOR)
    return cells if soft else cells.round()


def pad_to_cells(planes: Tensor) -> Tensor:
    """Planes [B, C, H, W] continued by their last row and column up to multiples of 8."""
    height, width = planes.shape[-2:]
    right, below = -width % LATENT_FACTOR, -height % LATENT_FACTOR
    return F.pad(planes, (0, right, 0, below), mode="replicate") if right or below else planes
