"""An encoder and a decoder between which the style of any picture is put into another's features.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"
(ICCV 2017). Both are plain sequences, so that the public files `vgg_normalised.pth` and
`decoder.pth` (naoto0804/pytorch-AdaIN) fit by their numbers; the pack's own pair is of the same
kind, narrower and less deep, in one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoints import load_strictly, read_metadata, read_weights, write_weights
from .vgg19 import first_of_every_level

PUBLIC_WIDTHS, PUBLIC_COUNTS = (64, 128, 256, 512), (2, 2, 4, 1)
SMALL_WIDTHS, SMALL_COUNTS = (24, 48, 96), (2, 2, 1)
"""Channels and convolutions of each level; between levels the sides are halved."""
PAIR = "adain"


def encoder_layers(widths: Sequence[int], counts: Sequence[int]) -> nn.Sequential:
    """[N, 3, H, W] in 0..1 -> [N, widths[-1], H / step, W / step]; sides are multiples of step."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    channels = 3
    for level, (width, count) in enumerate(zip(widths, counts, strict=True)):
        if level:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        for _ in range(count):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


def decoder_layers(widths: Sequence[int], counts: Sequence[int]) -> nn.Sequential:
    """The encoder mirrored, with nearest upsampling: features -> [N, 3, H, W] in about 0..1."""
    layers: list[nn.Module] = []
    for level in range(len(widths) - 1, -1, -1):
        for number in range(counts[level]):
            is_last_of_level = number == counts[level] - 1
            width = widths[level]
            if is_last_of_level:
                width = widths[level - 1] if level else 3
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(widths[level], width, 3), nn.ReLU()]
        if level:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
    return nn.Sequential(*layers[:-1])


@dataclass
class AdaINPair:
    """Encoder and decoder that belong together.

    paints_light: it learned grey pictures and paints the luminance alone; the colours are the
    content's, matched to the style's.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential
    counts: tuple[int, ...]
    name: str
    paints_light: bool = False

    @property
    def step(self) -> int:
        """Pixels of a cell's side; sides of what is encoded are multiples of it."""
        return 2 ** (len(self.counts) - 1)

    @property
    def reach(self) -> int:
        """Pixels from which a cell, or from a cell a pixel, is affected: a multiple of `step`."""
        pixels = sum(count * 2**level for level, count in enumerate(self.counts)) + self.step
        return -(-pixels // self.step) * self.step

    def to(self, device: torch.device | str) -> AdaINPair:
        """The pair on a device; the networks are moved, not copied."""
        self.encoder.to(device)
        self.decoder.to(device)
        return self

    def levels(self, x: Tensor) -> list[Tensor]:
        """Features after the first ReLU of every level, for a loss."""
        return first_of_every_level(self.encoder, x)


def new_pair(
    widths: Sequence[int] = SMALL_WIDTHS, counts: Sequence[int] = SMALL_COUNTS, name: str = "new"
) -> AdaINPair:
    """A pair with random weights."""
    layers = encoder_layers(widths, counts), decoder_layers(widths, counts)
    return AdaINPair(*layers, tuple(counts), name)


def load_public_pair(encoder: str | Path, decoder: str | Path) -> AdaINPair:
    """Read `vgg_normalised.pth` and `decoder.pth`, whose names may differ.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    with torch.device("meta"):
        pair = new_pair(PUBLIC_WIDTHS, PUBLIC_COUNTS, Path(decoder).stem)
    parts = ((encoder, pair.encoder, "vgg_normalised.pth"), (decoder, pair.decoder, "decoder.pth"))
    for path, network, name in parts:
        weights, wanted = read_weights(path), network.state_dict()
        # The public encoder's file goes on to relu5_4, which is not needed.
        fits = all(
            key in weights and weights[key].shape == value.shape for key, value in wanted.items()
        )
        if not fits or (network is pair.decoder and len(weights) != len(wanted)):
            sample = ", ".join(list(weights)[:3])
            raise ValueError(
                f"{path} is not AdaIN's {name} ({len(weights)} tensors, such as {sample}). Get "
                f"{name} from the releases of naoto0804/pytorch-AdaIN."
            )
        load_strictly(network, {key: weights[key] for key in wanted}, path, name)
    return pair


def load_pair(path: str | Path) -> AdaINPair:
    """Read a pair in one file, as `save_pair` writes it.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    path = Path(path)
    weights, metadata = read_weights(path), read_metadata(path)
    if metadata.get("visage.kind") != PAIR:
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not an AdaIN pair of `visage train starter` ({len(weights)} tensors, such "
            f"as {sample}). For the public files choose both, encoder and decoder."
        )
    shape = json.loads(metadata["visage.shape"])
    with torch.device("meta"):
        pair = new_pair(shape["widths"], shape["counts"], path.stem)
    for name, network in (("encoder", pair.encoder), ("decoder", pair.decoder)):
        load_strictly(network, _part(weights, name), path, f"an AdaIN {name}")
    pair.paints_light = True
    return pair


def save_pair(pair: AdaINPair, path: Path, overwrite: bool = False) -> None:
    """Write a pair in half precision, as one safetensors file."""
    weights = {
        f"{name}.{key}": value.half()
        for name, network in (("encoder", pair.encoder), ("decoder", pair.decoder))
        for key, value in network.state_dict().items()
    }
    widths = [layer.in_channels for layer in pair.decoder if isinstance(layer, nn.Conv2d)]
    shape = {"widths": _by_level(widths, pair.counts), "counts": list(pair.counts)}
    metadata = {"visage.kind": PAIR, "visage.shape": json.dumps(shape)}
    write_weights(path, weights, metadata, overwrite)


def _by_level(inputs: Sequence[int], counts: Sequence[int]) -> list[int]:
    """The widths of the levels from the inputs of the decoder's convolutions, the deepest first."""
    widths, place = [], 0
    for count in reversed(counts):
        widths.append(inputs[place])
        place += count
    return widths[::-1]


def _part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}."): value
        for key, value in weights.items()
        if key.startswith(f"{name}.")
    }
