"""How well the face parser labels pixels, on drawn people and on one photograph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..models.face_classes import CLASSES, PRESETS
from ..models.face_parser import FaceParser
from ..techniques.face_mask import face_mask
from .held_out import as_batch, held_out

ASTRONAUT_OUTLINE = Path(__file__).parent / "assets" / "astronaut_face_outline.json"


def parser_figures(parser: FaceParser, count: int) -> dict[str, float]:
    """Mean IoU over the 19 classes, and IoU of the union "face", over `count` portraits.

    Classes that occur neither in these portraits nor in the parser's labels do not count.
    """
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for number in range(count):
        picture = held_out([number], parser.input_size)[0]
        found = parser.probabilities(as_batch([picture.image]))[0].argmax(0).numpy()
        pairs = picture.labels.astype(np.int64) * len(CLASSES) + found
        confusion += np.bincount(pairs.ravel(), minlength=confusion.size).reshape(confusion.shape)
    face = [CLASSES.index(name) for name in PRESETS["face"]]
    seen = np.flatnonzero(confusion.sum(0) + confusion.sum(1))
    return {
        "parser_miou": float(np.mean([_iou(confusion, [c]) for c in seen])),
        "parser_face_iou": _iou(confusion, face),
    }


def _iou(confusion: np.ndarray, classes: list[int]) -> float:
    both = confusion[np.ix_(classes, classes)].sum()
    return float(both / (confusion[classes].sum() + confusion[:, classes].sum() - both))


def astronaut_outline() -> np.ndarray:
    """The hand-drawn face of scikit-image's astronaut, bool [512, 512]."""
    from skimage.draw import polygon

    outline = json.loads(ASTRONAUT_OUTLINE.read_text(encoding="utf-8"))["outline"]
    # The outline's pixel x reaches from x to x + 1 and is inside if its centre is.
    columns, rows = np.array(outline).T - 0.5
    drawn = np.zeros((512, 512), bool)
    drawn[polygon(rows, columns, drawn.shape)] = True
    return drawn


def astronaut_iou(parser: FaceParser) -> float:
    """IoU of the astronaut's face mask with the hand-drawn one."""
    import skimage.data

    found = face_mask(as_batch([skimage.data.astronaut()]), parser, ("face",)).mask[0].numpy() > 0.5
    drawn = astronaut_outline()
    return float((found & drawn).sum() / (found | drawn).sum())
