"""What the starter's small face networks are built of."""

from __future__ import annotations

from torch import Tensor, nn


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


def as_pixels(pictures: Tensor) -> Tensor:
    """Return [N, 3, H, W] in -1..1, as the networks take it, from pictures [N, H, W, 3] in 0..1."""
    return pictures.movedim(-1, 1).float().clamp(0, 1) * 2 - 1
