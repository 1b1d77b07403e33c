"""BiSeNet for face parsing, with the parameter names of the public face-parsing checkpoints.

Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation",
ECCV 2018: a ResNet context path whose two deepest stages are gated by attention, and a spatial
path, here the ResNet's own features at 1/8, joined by a feature fusion module. The public networks
answer at 1/8 of the picture's size; the built-in one refines that at 1/4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _pool(features: Tensor) -> Tensor:
    return features.mean(dim=(2, 3), keepdim=True)


class _ConvBNReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + residual)


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = _ResidualBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(_ResidualBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


class _ResNet(nn.Module):
    def __init__(self, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks[0], 1)
        self.layer2 = _stage(width, width * 2, blocks[1], 2)
        self.layer3 = _stage(width * 2, width * 4, blocks[2], 2)
        self.layer4 = _stage(width * 4, width * 8, blocks[3], 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features at 1/4, 1/8, 1/16 and 1/32 of the input's size."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        at4 = self.layer1(x)
        at8 = self.layer2(at4)
        at16 = self.layer3(at8)
        return at4, at8, at16, self.layer4(at16)


class _AttentionRefinement(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        return features * torch.sigmoid(self.bn_atten(self.conv_atten(_pool(features))))


class _ContextPath(nn.Module):
    def __init__(self, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.resnet = _ResNet(width, blocks)
        self.arm16 = _AttentionRefinement(width * 4, width * 2)
        self.arm32 = _AttentionRefinement(width * 8, width * 2)
        self.conv_head32 = _ConvBNReLU(width * 2, width * 2, 3)
        self.conv_head16 = _ConvBNReLU(width * 2, width * 2, 3)
        self.conv_avg = _ConvBNReLU(width * 8, width * 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features at 1/4, those at 1/8, and the context features at 1/8 and 1/16."""
        at4, at8, at16, at32 = self.resnet(x)
        context = self.arm32(at32) + self.conv_avg(_pool(at32))
        context16 = self.conv_head32(F.interpolate(context, size=at16.shape[2:]))
        context = self.arm16(at16) + context16
        context8 = self.conv_head16(F.interpolate(context, size=at8.shape[2:]))
        return at4, at8, context8, context16


class _FeatureFusion(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convblk = _ConvBNReLU(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        features = self.convblk(torch.cat((spatial, context), dim=1))
        gate = torch.sigmoid(self.conv2(F.relu(self.conv1(_pool(features)))))
        return features * gate + features


class _Refinement(nn.Module):
    """The correction of the logits at 1/8 by the features at 1/4."""

    def __init__(self, spatial: int, fused: int, middle: int, classes: int) -> None:
        super().__init__()
        self.reduce = _ConvBNReLU(fused, middle, 1)
        self.conv1 = _ConvBNReLU(spatial + middle, middle, 3)
        self.conv2 = _ConvBNReLU(middle, middle, 3)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)
        # At first the answer is the one at 1/8, so that a trained network can be taken further.
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, spatial: Tensor, fused: Tensor) -> Tensor:
        size = spatial.shape[2:]
        context = F.interpolate(self.reduce(fused), size=size, mode="bilinear", align_corners=True)
        return self.conv_out(self.conv2(self.conv1(torch.cat((spatial, context), dim=1))))


class _Head(nn.Module):
    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inputs, middle, 3)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        logits = self.conv_out(self.conv(x))
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)


class BiSeNet(nn.Module):
    """Face-parsing BiSeNet on a ResNet of basic blocks.

    `width` is the channel count of the ResNet's first stage and scales every other layer; 64 with
    blocks (2, 2, 2, 2) is the public ResNet-18 model, (3, 4, 6, 3) the ResNet-34 one. `refine` is
    the width of the refinement at 1/4, which the public models lack (0).
    """

    def __init__(
        self,
        width: int = 64,
        classes: int = 19,
        blocks: Sequence[int] = (2, 2, 2, 2),
        refine: int = 0,
    ) -> None:
        super().__init__()
        self.cp = _ContextPath(width, blocks)
        self.ffm = _FeatureFusion(width * 4)
        self.conv_out = _Head(width * 4, width * 4, classes)
        self.conv_out16 = _Head(width * 2, width, classes)
        self.conv_out32 = _Head(width * 2, width, classes)
        self.refine = _Refinement(width, width * 4, refine, classes) if refine else None

    def forward(
        self, x: Tensor, size: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return three logit maps [B, classes, *size] for a normalised picture [B, 3, H, W].

        `size` is that of the picture, unless given. The first map is the answer; the other two,
        from the context path at 1/8 and 1/16, only serve the auxiliary losses of training.
        """
        size = size or x.shape[2:]
        at4, at8, context8, context16 = self.cp(x)
        return (
            self._answer(at4, self.ffm(at8, context8), size),
            self.conv_out16(context8, size),
            self.conv_out32(context16, size),
        )

    def answer(self, x: Tensor) -> Tensor:
        """Return the first of the three maps, [B, classes, H, W], without computing the others."""
        at4, at8, context8, _ = self.cp(x)
        return self._answer(at4, self.ffm(at8, context8), x.shape[2:])

    def _answer(self, at4: Tensor, fused: Tensor, size: Sequence[int]) -> Tensor:
        if self.refine is None:
            return self.conv_out(fused, size)
        logits = self.conv_out(fused, at4.shape[2:]) + self.refine(at4, fused)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)
