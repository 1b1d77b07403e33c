"""The building blocks of the starter's small face networks."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, batch normalisation and a leak that is learnt for each channel."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in (He et al., "Deep Residual
    Learning", figure 2), without an activation after the sum.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


def folded(network: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode whose batch normalisations are part of the
    convolutions before them: the same answer up to rounding, with fewer passes over the features.
    """
    network = copy.deepcopy(network)
    for chain in [part for part in network.modules() if isinstance(part, nn.Sequential)]:
        for at, (first, second) in enumerate(zip(chain, chain[1:], strict=False)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                chain[at], chain[at + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network


def as_pixels(pictures: Tensor) -> Tensor:
    """Return [N, 3, H, W] in -1..1, as the networks take it, from pictures [N, H, W, 3] in 0..1."""
    return pictures.movedim(-1, 1).float().clamp(0, 1) * 2 - 1
