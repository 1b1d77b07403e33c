"""A face parser: which of the nineteen face classes each pixel of a picture shows.

Reads the public BiSeNet checkpoints in each of their naming dialects, the built-in one, and a
SegFormer from the folder that transformers writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bisenet import BiSeNet
from .checkpoints import load_strictly, read_metadata, read_weights
from .face_classes import CLASSES
from .managed_network import ManagedNetwork
from .pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from .segformer import load_segformer

PUBLIC_INPUT_SIZE = 512
SQUARES_AT_ONCE = 8


_STEM = "cp.resnet.conv1.weight"
_RENAMED_STEM = "fpn.backbone.conv1.weight"
_RENAMES = (
    (r"^(conv_out\d*)\.conv\.", r"\1.conv_out."),
    (r"^fpn\.backbone\.", "cp.resnet."),
    (r"^fpn\.", "cp."),
    (r"^ffm\.conv_block\.", "ffm.convblk."),
    (r"\.conv_block\.", ".conv."),
    (r"\.attention\.0\.", ".conv_atten."),
    (r"\.attention\.1\.", ".bn_atten."),
    (r"\.norm\.", ".bn."),
)
_SEGFORMER = "segformer.encoder."
_OTHER_PARSERS = {"encoder.0.conv2d.weight": "a ParseNet"}


class FaceParser(ManagedNetwork):
    """A network that gives the probability of each class in `face_classes.CLASSES`.

    `network` is a BiSeNet, or maps a normalised picture [N, 3, S, S] to logits [N, 19, S, S].
    """

    def __init__(self, network: nn.Module, input_size: int, name: str) -> None:
        super().__init__(network, name)
        self.input_size = input_size

    @torch.no_grad()
    def parse_squares(self, squares: Tensor, size: int | None = None) -> Tensor:
        """Return probabilities [N, 19, S, S] of pictures [N, H, W, 3] at size S.

        Without a `size` it is the parser's own. The pictures are stretched to squares, so give it
        squares to keep faces in proportion.
        """
        size = size or self.input_size
        device, dtype = self.prepare()
        chunks = squares.split(SQUARES_AT_ONCE)
        return torch.cat([self._run(chunk, size, device, dtype) for chunk in chunks])

    def _run(self, squares: Tensor, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        pixels = squares.movedim(-1, 1).float().clamp(0, 1)
        if pixels.shape[2:] != (size, size):
            pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        pixels = pixels.to(device)
        mean = pixels.new_tensor(IMAGENET_MEAN)[:, None, None]
        std = pixels.new_tensor(IMAGENET_STD)[:, None, None]
        network = self.network
        answer = network.answer if isinstance(network, BiSeNet) else network
        logits = answer(((pixels - mean) / std).to(dtype))
        return logits.float().softmax(dim=1).to(squares.device)

    def probabilities(self, image: Tensor) -> Tensor:
        """Return probabilities [B, 19, H, W] of pictures [B, H, W, 3] at their own size."""
        parsed = self.parse_squares(image)
        if parsed.shape[2:] == image.shape[1:3]:
            return parsed
        return F.interpolate(parsed, image.shape[1:3], mode="bilinear", antialias=True)


def load_face_parser(path: str | Path) -> FaceParser:
    """Read a BiSeNet checkpoint of any dialect, width and depth, or a SegFormer beside its config.

    A BiSeNet's input size (`visage.input_size`) and the order of its classes (`visage.classes`,
    names separated by commas) come from a safetensors header; without one they are the public
    models'. A SegFormer's classes are those of its config. Raises FileNotFoundError or ValueError,
    saying what the file is instead, and what `load_segformer` raises.
    """
    path = Path(path)
    weights = read_weights(path)
    if any(name.startswith(_SEGFORMER) for name in weights):
        return FaceParser(load_segformer(path), PUBLIC_INPUT_SIZE, path.resolve().parent.name)
    metadata = read_metadata(path)
    weights = _public_names(weights, path)
    network = _build(weights, metadata, path)
    try:
        input_size = int(metadata.get("visage.input_size", PUBLIC_INPUT_SIZE))
    except ValueError as error:
        raise ValueError(f"{path}: visage.input_size in its header is no number.") from error
    return FaceParser(network, input_size, path.stem)


def _public_names(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Bring any dialect to the names of the public ResNet-18 checkpoint."""
    stem = next((key for key in weights if key.endswith((_STEM, _RENAMED_STEM))), None)
    if stem is None:
        other = next((_OTHER_PARSERS[key] for key in weights if key in _OTHER_PARSERS), None)
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not a BiSeNet face parser: it holds {other or 'other weights'} "
            f"({len(weights)} tensors, such as {sample}). Choose a BiSeNet checkpoint with the 19 "
            "CelebAMask-HQ classes, a SegFormer with these, or the built-in starter."
        )
    renamed = stem.endswith(_RENAMED_STEM)
    prefix = stem.removesuffix(_RENAMED_STEM if renamed else _STEM)
    names = {}
    for key, value in weights.items():
        name = key.removeprefix(prefix)
        if ".fc." in name:
            continue
        for pattern, replacement in _RENAMES if renamed else ():
            name = re.sub(pattern, replacement, name)
        names[name] = value
    return names


def _build(weights: dict[str, Tensor], metadata: Mapping[str, str], path: Path) -> BiSeNet:
    head = weights.get("conv_out.conv_out.weight")
    classes = 0 if head is None else len(head)
    if classes != len(CLASSES):
        raise ValueError(
            f"{path} tells {classes} classes apart; a face parser has the {len(CLASSES)} of "
            f"CelebAMask-HQ ({', '.join(CLASSES)})."
        )
    blocks = [
        len({key.split(".")[3] for key in weights if key.startswith(f"cp.resnet.layer{stage}.")})
        for stage in (1, 2, 3, 4)
    ]
    refined = weights.get("refine.conv_out.weight")
    refine = 0 if refined is None else refined.shape[1]
    with torch.device("meta"):
        network = BiSeNet(weights[_STEM].shape[0], classes, blocks, refine)
    load_strictly(network, weights, path, "a BiSeNet")
    rows = _class_rows(metadata, path)
    heads = (network.conv_out, network.conv_out16, network.conv_out32, network.refine)
    for head in filter(None, heads):
        head.conv_out.weight = nn.Parameter(head.conv_out.weight[rows], requires_grad=False)
    return network


def _class_rows(metadata: Mapping[str, str], path: Path) -> list[int]:
    """Where each of our classes stands in the file's own order."""
    order = metadata.get("visage.classes", ",".join(CLASSES)).split(",")
    if sorted(order) != sorted(CLASSES):
        raise ValueError(
            f"{path}: visage.classes in its header names {', '.join(order)}; "
            f"expected these in any order: {', '.join(CLASSES)}."
        )
    return [order.index(name) for name in CLASSES]
