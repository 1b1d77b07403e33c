"""A style in the weights of a small network: one pass paints a picture.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (ECCV 2016),
with the instance normalisation of Ulyanov et al. (2016) and nearest upsampling. Reads the public
files of this network (candy.pth, mosaic.pth, rain_princess.pth, udnie.pth) and narrower ones.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoints import load_strictly, read_weights

PUBLIC_WIDTHS, PUBLIC_BLOCKS = (32, 64, 128), 5
SMALL_WIDTHS, SMALL_BLOCKS = (16, 32, 64), 3
EPSILON = 1e-5
BUILT_IN = Path(__file__).parent / "starter" / "fast_styles"

Statistics = list[tuple[Tensor, Tensor]]
"""Mean and variance [1, C, 1, 1] of each instance norm, in order."""


class ReflectConv(nn.Module):
    """A convolution over a mirrored border; a file's names ask for the inner `conv2d`."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.border = size // 2
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2d(F.pad(x, (self.border,) * 4, mode="reflect"))


class InstanceNorm(nn.Module):
    """Instance norm with weights that notes its statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        self.seen = (mean.detach(), variance.detach())
        scale = self.weight[:, None, None] * (variance + EPSILON).rsqrt()
        return (x - mean) * scale + self.bias[:, None, None]


def _relu(x: Tensor) -> Tensor:
    """ReLU, in place unless a gradient needs the input: large pictures wait for memory."""
    return F.relu(x, inplace=not x.requires_grad)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.in1 = ReflectConv(channels, channels, 3), InstanceNorm(channels)
        self.conv2, self.in2 = ReflectConv(channels, channels, 3), InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.in2(self.conv2(_relu(self.in1(self.conv1(x)))))


class FastStyle(nn.Module):
    """[N, 3, H, W] in 0..255 -> the same painted; sides of 12 px and more, multiples of 4."""

    def __init__(
        self, widths: tuple[int, int, int] = PUBLIC_WIDTHS, blocks: int = PUBLIC_BLOCKS
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.widths, self.blocks = widths, blocks
        self.conv1, self.in1 = ReflectConv(3, first, 9), InstanceNorm(first)
        self.conv2, self.in2 = ReflectConv(first, second, 3, 2), InstanceNorm(second)
        self.conv3, self.in3 = ReflectConv(second, third, 3, 2), InstanceNorm(third)
        for number in range(1, blocks + 1):
            self.add_module(f"res{number}", ResidualBlock(third))
        self.deconv1, self.in4 = ReflectConv(third, second, 3), InstanceNorm(second)
        self.deconv2, self.in5 = ReflectConv(second, first, 3), InstanceNorm(first)
        self.deconv3 = ReflectConv(first, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        for number in (1, 2, 3):
            x = _relu(getattr(self, f"in{number}")(getattr(self, f"conv{number}")(x)))
        for number in range(1, self.blocks + 1):
            x = getattr(self, f"res{number}")(x)
        for number in (1, 2):
            larger = F.interpolate(x, scale_factor=2, mode="nearest")
            x = _relu(getattr(self, f"in{number + 3}")(getattr(self, f"deconv{number}")(larger)))
        return self.deconv3(x)

    def norms(self) -> list[InstanceNorm]:
        """All instance norms, in order."""
        return [module for module in self.modules() if isinstance(module, InstanceNorm)]

    def statistics(self) -> Statistics:
        """The statistics of the norms in the last pass."""
        return [norm.seen for norm in self.norms() if norm.seen is not None]

    @torch.no_grad()
    def normalised_by(self, statistics: Statistics) -> nn.Module:
        """A copy that normalises every picture by these; its convolutions do it, at no cost."""
        fixed = copy.deepcopy(self)
        parts = list(fixed.named_modules())
        norms = [(name, part) for name, part in parts if isinstance(part, InstanceNorm)]
        # Each norm follows its convolution; the last convolution has none.
        convs = [part.conv2d for _, part in parts if isinstance(part, ReflectConv)][: len(norms)]
        for (name, norm), conv, (mean, variance) in zip(norms, convs, statistics, strict=True):
            scale = norm.weight * (variance.flatten() + EPSILON).rsqrt()
            conv.weight *= scale[:, None, None, None]
            conv.bias = nn.Parameter((conv.bias - mean.flatten()) * scale + norm.bias)
            fixed.set_submodule(name, nn.Identity())
        return fixed.to(memory_format=torch.channels_last)

    @property
    def reach(self) -> int:
        """Pixels from which a pixel of the result is affected, but for the statistics."""
        return 4 + 1 + 2 + 4 * 2 * self.blocks + 2 + 1 + 4 + 8


def built_in_styles() -> dict[str, Path]:
    """The files of the styles that the pack brings, by the name under which a node offers them."""
    return {f"{path.stem} (built in)": path for path in sorted(BUILT_IN.glob("*.safetensors"))}


def load_fast_style(path: str | Path) -> FastStyle:
    """Read a network of the public layout, of any width and depth.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    path = Path(path)
    weights = {
        name: value.float()
        for name, value in read_weights(path).items()
        if not re.search(r"in\d+\.running_", name)
    }
    with torch.device("meta"):
        network = FastStyle(*_shape(weights, path))
    load_strictly(network, weights, path, "a fast style network")
    return network.eval().requires_grad_(False)


def _shape(weights: Mapping[str, Tensor], path: Path) -> tuple[tuple[int, int, int], int]:
    first, second, third = (weights.get(f"conv{k}.conv2d.weight") for k in (1, 2, 3))
    blocks = sum(bool(re.fullmatch(r"res\d+\.conv1\.conv2d\.weight", name)) for name in weights)
    if first is None or second is None or third is None or not blocks:
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not a fast style network ({len(weights)} tensors, such as {sample}). It "
            "should have the layout of PyTorch's fast_neural_style examples (candy.pth, "
            "mosaic.pth) or come from `visage train fast-style`."
        )
    return (len(first), len(second), len(third)), blocks
