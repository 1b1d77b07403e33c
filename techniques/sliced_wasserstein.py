"""How far the patches of one picture are from those of another, as distributions: no weights.

Heitz et al., "A Sliced Wasserstein Loss for Neural Texture Synthesis" (CVPR 2021); Elnekave and
Weiss, "Generating Natural Images with Direct Patch Distribution Matching" (ECCV 2022). Patches
p x p x 3 are projected on directions w, which is a convolution, and the projections' distributions
compared in their quantiles:  mean |sort(w * a) - sort(w * b)| / std(w * b).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7
SCALES = 3
WHITENING = 0.5
"""0: directions as they come, which hear little but colours; 1: all components of the style's
patches equally loud, noise included."""


class PatchDistribution:
    """The patches of a picture [1, 3, h, w] at three scales, to compare others with."""

    def __init__(
        self,
        picture: Tensor,
        generator: torch.Generator,
        patch: int = PATCH,
        whitening: float = WHITENING,
    ) -> None:
        self.patch, self.generator = patch, generator
        self.scales = []
        for _ in range(SCALES):
            if min(picture.shape[2:]) < 2 * patch:
                break
            patches = F.unfold(picture, patch)[0].T
            some = patches[torch.randperm(len(patches), generator=generator)[:8192]]
            centred = (some - some.mean(0)).double()
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(some))
            spread = values.clamp(min=values.max() * 1e-6).sqrt()
            self.scales.append((picture, (vectors * spread**-whitening).float()))
            picture = F.avg_pool2d(picture, 2)
        if not self.scales:
            raise ValueError(f"The style picture is smaller than two patches of {patch} px.")

    def distance(self, pictures: Tensor, directions: int = 48) -> Tensor:
        """Of pictures [B, 3, H, W], taken together, along new random directions."""
        total = pictures.new_zeros(())
        for picture, basis in self.scales:
            if min(pictures.shape[2:]) < 2 * self.patch:
                break
            weights = torch.randn(directions, len(basis), generator=self.generator) @ basis.T
            weights = (weights / weights.norm(dim=1, keepdim=True)).view(
                directions, 3, self.patch, self.patch
            )
            own = F.conv2d(pictures, weights, stride=2).movedim(1, 0).flatten(1)
            with torch.no_grad():
                wanted = F.conv2d(picture, weights, stride=2)[0].flatten(1)
                spread = wanted.std(1, keepdim=True).clamp(min=1e-3)
                target = _in_order_of(own, wanted)
            total = total + ((own - target) / spread).abs().mean()
            pictures = F.avg_pool2d(pictures, 2)
        return total / len(self.scales)


def _in_order_of(own: Tensor, wanted: Tensor) -> Tensor:
    """The quantiles of values [K, m], each where own values [K, n] have theirs."""
    # NumPy sorts several times faster than PyTorch on a CPU.
    ordered = torch.from_numpy(np.sort(wanted.cpu().numpy(), 1))
    places = torch.from_numpy(np.argsort(own.detach().cpu().numpy(), 1))
    values = _quantiles(ordered, own.shape[1])
    return torch.empty_like(values).scatter_(1, places, values).to(own)


def _quantiles(ordered: Tensor, count: int) -> Tensor:
    """Sorted values [K, n] at `count` even places [K, count]."""
    if ordered.shape[1] == count:
        return ordered
    return F.interpolate(ordered[None], count, mode="linear", align_corners=True)[0]
