"""Which of ten attributes a drawn face shows: it judges whether an edit shows what its prompt asked
for.

A small network of its own, trained by `training/starter/attribute_classifier.py` on drawn people
whom no other stage sees. It is a measuring instrument, not one of the starter models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor, nn

from .checkpoints import read_weights

ASSETS = Path(__file__).parent.parent / "evaluation" / "assets"
WEIGHTS = ASSETS / "attribute_classifier.safetensors"
VIEW = 64
VIEW_SIDE = 3.6
"""Side of the view the network sees, in distances from the eyes to the mouth."""


@dataclass(frozen=True)
class Attribute:
    """An attribute that a prompt can ask for.

    words: how a prompt asks for it; parts: the preset to repaint for it; shown: whether a
    portrait's traits have it; sex: the people on whom it is tried, None for everybody."""

    words: str
    parts: str
    shown: Callable[[dict], bool]
    sex: str | None = None


ATTRIBUTES = {
    "glasses": Attribute("glasses", "face", lambda traits: traits["glasses"] != "none"),
    "smile": Attribute("a smile", "face", lambda traits: traits["smile"]),
    "beard": Attribute("a beard", "face", lambda traits: traits["facial_hair"] == "beard", "man"),
    "lipstick": Attribute(
        "red lipstick", "face", lambda traits: traits["lipstick"] != "none", "woman"
    ),
    "pale_skin": Attribute("pale skin", "face", lambda traits: traits["skin"] in ("pale", "fair")),
    "dark_skin": Attribute("dark skin", "face", lambda traits: traits["skin"] in ("brown", "dark")),
    "black_hair": Attribute(
        "black hair", "face and hair", lambda traits: traits["hair"] in ("black", "dark brown")
    ),
    "blond_hair": Attribute(
        "blond hair", "face and hair", lambda traits: traits["hair"] == "blond"
    ),
    "red_hair": Attribute("red hair", "face and hair", lambda traits: traits["hair"] == "red"),
    "grey_hair": Attribute(
        "grey hair", "face and hair", lambda traits: traits["hair"] in ("grey", "white")
    ),
}
"""The renderer's neighbours in colour count as one: black and dark brown, grey and white, ..."""


class AttributeClassifier(nn.Module):
    """Aligned views [N, 3, 64, 64] in 0..1 to logits [N, 10] in the order of ATTRIBUTES."""

    def __init__(self, widths: Sequence[int] = (16, 32, 48), hidden: int = 48) -> None:
        super().__init__()
        layers, before = [], 3
        for width in widths:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        self.features = nn.Sequential(*layers, nn.Flatten())
        side = VIEW // 2 ** len(widths)
        self.head = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(before * side * side, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, len(ATTRIBUTES)),
        )

    def forward(self, views: Tensor) -> Tensor:
        return self.head(self.features(views * 2 - 1))


def align(image: np.ndarray, landmarks: np.ndarray, size: int = VIEW) -> np.ndarray:
    """The head upright in a view [size, size, 3], eyes and mouth at fixed places.

    image [H, W, 3]; landmarks [5, 2] in its pixels: two eyes, nose tip, two mouth corners.
    """
    eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
    down = mouth - eyes
    scale = size / (VIEW_SIDE * np.hypot(*down))
    centre = eyes + 0.27 * down
    angle = np.degrees(np.arctan2(down[0], down[1]))
    matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), -float(angle), float(scale))
    matrix[:, 2] += size / 2 - centre
    # A mild blur first: warpAffine would skip pixels where it shrinks.
    if scale < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def load_attribute_classifier(path: Path = WEIGHTS) -> AttributeClassifier:
    """The trained judge; raises FileNotFoundError or ValueError as `read_weights`."""
    network = AttributeClassifier()
    network.load_state_dict({name: value.float() for name, value in read_weights(path).items()})
    return network.eval().requires_grad_(False)
