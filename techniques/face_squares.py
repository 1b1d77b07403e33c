"""Square parts of a picture for a face parser, and the parser's results on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_classes import CLASSES
from ..models.face_parser import SQUARES_AT_ONCE, FaceParser

Box = tuple[float, float, float, float]

# As CelebA-HQ is framed, which face parsers are trained on.
CONTEXT = 0.6
# Resolution at which faces are located.
FINDING_SIZE = 256
# With more candidates than this, each is parsed at half the size.
CROWD = 12


@dataclass(frozen=True)
class Square:
    """A square part of a picture in whole pixels; it may reach over the border."""

    left: int
    top: int
    side: int


def square_around(box: Box, height: int, width: int, context: float = CONTEXT) -> Square:
    """Return the square that shows a face in a picture of this size to the parser.

    Its side is (1 + context) times the box's longer side, at most the picture's longer side. It is
    moved inwards as far as possible, because real pixels are better than a repeated edge.
    """
    x, y, box_width, box_height = box
    side = min(round((1 + context) * max(box_width, box_height)), max(height, width))
    left = _inside(round(x + box_width / 2 - side / 2), side, width)
    return Square(left, _inside(round(y + box_height / 2 - side / 2), side, height), side)


def _inside(start: int, side: int, length: int) -> int:
    return (length - side) // 2 if side >= length else min(max(start, 0), length - side)


def cut_squares(image: Tensor, squares: Sequence[Square], size: int) -> Tensor:
    """Cut squares out of a picture [H, W, 3] as [N, size, size, 3], edges continued outwards."""
    height, width = image.shape[:2]
    planes = image.movedim(-1, 0)[None]
    crops = []
    for square in squares:
        right, bottom = square.left + square.side, square.top + square.side
        inside = planes[
            ..., max(0, square.top) : min(height, bottom), max(0, square.left) : min(width, right)
        ]
        beyond = (
            max(0, -square.left),
            max(0, right - width),
            max(0, -square.top),
            max(0, bottom - height),
        )
        crop = F.pad(inside, beyond, mode="replicate")
        crops.append(F.interpolate(crop, (size, size), mode="bilinear", antialias=True))
    return torch.cat(crops).movedim(1, -1)


def class_fraction(probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Sum the probabilities [19, S, S] of some classes: how likely each pixel is one of them."""
    return probabilities[[CLASSES.index(name) for name in names]].sum(axis=0)


def component_in(support: np.ndarray, box: Box) -> np.ndarray:
    """Return the connected part of a boolean map [S, S] that fills most of a box, else nothing."""
    _, labels = cv2.connectedComponents(support.astype(np.uint8), connectivity=8)
    x, y, width, height = (round(value) for value in box)
    inside = labels[max(y, 0) : y + height, max(x, 0) : x + width]
    counts = np.bincount(inside.ravel(), minlength=2)
    counts[0] = 0
    return labels == counts.argmax() if counts.any() else np.zeros_like(support)


def box_in_square(box: Box, square: Square, size: int) -> Box:
    """Bring a box from the picture's pixels to those of a square parsed at `size`."""
    scale = size / square.side
    x, y, width, height = box
    return (x - square.left) * scale, (y - square.top) * scale, width * scale, height * scale


def parse_small(
    image: Tensor, squares: Sequence[Square], parser: FaceParser
) -> Iterator[np.ndarray]:
    """Parse squares [N, 19, S, S] at a reduced size, which is enough to locate faces. With many
    candidates a quarter of the pixels is used.
    """
    size = min(FINDING_SIZE, parser.input_size)
    if len(squares) > CROWD:
        size //= 2
    for start in range(0, len(squares), SQUARES_AT_ONCE):
        cut = cut_squares(image, squares[start : start + SQUARES_AT_ONCE], size)
        yield from parser.parse_squares(cut, size).cpu().numpy()
