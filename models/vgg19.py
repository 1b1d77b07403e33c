"""VGG-19's features, on which Gram matrices describe a picture's style.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"; the
layers are those of Gatys et al., "Image Style Transfer Using Convolutional Neural Networks".
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoints import load_strictly, read_weights
from .managed_network import ManagedNetwork
from .pixel_statistics import IMAGENET_MEAN, IMAGENET_STD

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 4, 4, 1)
"""Of each level; the last level's other three are not needed."""
SHORT_SIDE = 256


def first_of_every_level(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    """The features after the first ReLU, and after the first ReLU behind every MaxPool2d."""
    taken, begins = [], True
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            begins = True
        elif isinstance(layer, nn.ReLU) and begins:
            taken.append(x)
            begins = False
    return taken


class Vgg19(nn.Module):
    """[N, 3, H, W], ImageNet-normalised -> relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in zip(WIDTHS, CONVOLUTIONS, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2, 2))
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        return first_of_every_level(self.features, x)


class Vgg19Features(ManagedNetwork):
    """VGG-19's features of pictures; `network` is a Vgg19."""

    @torch.no_grad()
    def of(self, image: Tensor) -> list[Tensor]:
        """Features [1, C, h, w] of five levels of a picture [H, W, 3] in 0..1.

        The picture is resized so that its shorter side has 256 px: Gram matrices depend on it.
        """
        device, dtype = self.prepare()
        pixels = image.movedim(-1, 0)[None].to(device, torch.float32).clamp(0, 1)
        scale = SHORT_SIDE / min(pixels.shape[2:])
        size = [max(SHORT_SIDE, round(side * scale)) for side in pixels.shape[2:]]
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=scale < 1)
        mean, std = (
            pixels.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        return self.network(((pixels - mean) / std).to(dtype))


def load_vgg19(path: str | Path) -> Vgg19Features:
    """Read torchvision's VGG-19 (vgg19-dcbb9e9d.pth), or its features alone.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    path = Path(path)
    weights = read_weights(path)
    with torch.device("meta"):
        network = Vgg19()
    wanted = network.state_dict()
    # VGG-16 has the same names, but not all of them.
    if any(name not in weights or weights[name].shape != wanted[name].shape for name in wanted):
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not VGG-19 ({len(weights)} tensors, such as {sample}). It should be "
            "torchvision's vgg19-dcbb9e9d.pth."
        )
    kept = {name: weights[name] for name in wanted}
    return Vgg19Features(load_strictly(network, kept, path, "VGG-19"), path.stem)
