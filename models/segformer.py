"""SegFormer as a face parser, from the folder that transformers writes.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers"
(NeurIPS 2021), trained on CelebAMask-HQ by the file's author.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from .face_classes import CLASSES
from .transformers_folder import Plain, read_network

EXAMPLE = "jonathandinu/face-parsing"

# How CelebAMask-HQ spells those of our classes that it names otherwise.
_CELEBAMASK = {
    "left_brow": "l_brow",
    "right_brow": "r_brow",
    "left_eye": "l_eye",
    "right_eye": "r_eye",
    "glasses": "eye_g",
    "left_ear": "l_ear",
    "right_ear": "r_ear",
    "earring": "ear_r",
    "upper_lip": "u_lip",
    "lower_lip": "l_lip",
    "necklace": "neck_l",
    "clothes": "cloth",
}


class SegFormer(nn.Module):
    """A SegFormer whose channels are in the order of `face_classes.CLASSES`.

    `rows` says where each of these stands in the model's own order.
    """

    def __init__(self, model: nn.Module, rows: list[int]) -> None:
        super().__init__()
        self.plain = Plain(model)
        self.rows = rows

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [N, 19, S, S] of normalised pictures [N, 3, S, S]."""
        logits = self.plain(pixel_values=pixels).logits[:, self.rows]
        return F.interpolate(logits, pixels.shape[2:], mode="bilinear")


def load_segformer(path: str | Path) -> SegFormer:
    """Read a SegFormer from the folder of its weights file, in float32 for inference.

    Raises ModuleNotFoundError without transformers, ValueError for other classes than the 19 of
    CelebAMask-HQ, and what `read_network` raises.
    """
    from transformers import SegformerForSemanticSegmentation

    network = read_network(SegformerForSemanticSegmentation, path, ("config.json",), EXAMPLE)
    return SegFormer(network.float(), _class_rows(network.config.id2label, path))


def _class_rows(names: Mapping[int, str], path: str | Path) -> list[int]:
    """Where each of our classes stands among a config's `id2label`, by its name."""
    places = {name: row for row, name in names.items()}
    wanted = [name if name in places else _CELEBAMASK.get(name, name) for name in CLASSES]
    missing = [name for name in wanted if name not in places]
    if missing or len(places) != len(CLASSES):
        raise ValueError(
            f"{path}: id2label in its config.json names {', '.join(names.values())}; a face parser "
            f"has the {len(CLASSES)} classes of CelebAMask-HQ ({', '.join(CLASSES)})."
        )
    return [places[name] for name in wanted]
