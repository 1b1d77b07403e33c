"""Mask-weighted loss: errors in the face count fully, errors in the background hardly.

Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", equations 3-5.
"""

from __future__ import annotations

from torch import Tensor


def mask_weighted_loss(
    predicted: Tensor, target: Tensor, mask: Tensor, alpha: float = 0.05
) -> Tensor:
    """Return E[mean_i (M_i + alpha) (predicted_i - target_i)^2], equations 4 and 5.

    predicted, target [B, 4, h, w]; mask [B, 1, h, w] in 0..1, the face mask at latent size. Alpha
    keeps a little weight on the background.
    """
    return ((mask + alpha) * (predicted - target).square()).mean()
