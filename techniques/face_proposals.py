"""Candidate regions for faces, for pictures in which the detector finds none.

Two sources that miss different faces: the parser on coarse windows of the picture (large faces,
painted ones), and a boosted cascade of local binary patterns (Viola and Jones, CVPR 2001; Zhang et
al., ICB 2007; small frontal faces, many false ones).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import ceil
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from ..models.face_classes import PRESETS
from ..models.face_parser import FaceParser
from .face_squares import Box, Square, class_fraction, parse_small

# Coarse windows: the longer side over these.
WINDOWS_PER_SIDE = (1, 2)
# A coarse find, as part of the parsed square's side.
MIN_SPECK = 0.05
# The cascade's own window, and the picture shrunk for it; pixels, degrees.
CASCADE_WINDOW = 24
CASCADE_MIN_FACE = 40
CASCADE_LONG_SIDE = 800
CASCADE_ANGLES = (0, -20, 20)


def propose_by_parsing(image: Tensor, parser: FaceParser) -> list[Box]:
    """Propose every face-like region that the parser shows in overlapping square windows."""
    height, width = image.shape[:2]
    windows = [
        Square(left, top, side)
        for side in (ceil(max(height, width) / count) for count in WINDOWS_PER_SIDE)
        for top, left in product(_starts(height, side), _starts(width, side))
    ]
    found = []
    for probabilities, window in zip(parse_small(image, windows, parser), windows, strict=True):
        face = class_fraction(probabilities, PRESETS["face"]) > 0.5
        _, _, parts, _ = cv2.connectedComponentsWithStats(face.astype(np.uint8))
        scale = window.side / len(face)
        found += [
            (window.left + x * scale, window.top + y * scale, w * scale, h * scale)
            for x, y, w, h, _ in parts[1:].tolist()
            if max(w, h) >= MIN_SPECK * len(face)
        ]
    return found


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin that cover a length and overlap by half or more."""
    if length <= side:
        return [(length - side) // 2]
    steps = ceil((length - side) / (side / 2))
    return [round(k * (length - side) / steps) for k in range(steps + 1)]


def propose_by_cascade(image: Tensor) -> list[Box]:
    """Propose the faces that a frontal-face cascade sees in the shrunken, leaning picture."""
    height, width = image.shape[:2]
    scale = min(CASCADE_WINDOW / CASCADE_MIN_FACE, CASCADE_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if min(size) < CASCADE_WINDOW:
        return []
    pixels = (image.detach().cpu().float().numpy().clip(0, 1) * 255).round().astype(np.uint8)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    found = []
    for angle in CASCADE_ANGLES:
        lean = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, 1.0)
        upright = cv2.invertAffineTransform(lean)
        for x, y, side in _cascade_squares(cv2.warpAffine(pixels, lean, size)):
            centre = upright @ (x + side / 2, y + side / 2, 1)
            left, top = (centre - side / 2) / scale
            found.append((left, top, side / scale, side / scale))
    return found


def _cascade_squares(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    hits = _cascade().detect_multi_scale(
        pixels,
        scale_factor=1.2,
        step_ratio=1,
        min_size=(CASCADE_WINDOW, CASCADE_WINDOW),
        max_size=(max(pixels.shape), max(pixels.shape)),
    )
    return [(hit["c"], hit["r"], hit["width"]) for hit in hits]


@lru_cache(maxsize=1)
def _cascade() -> Any:
    # Imported late: scikit-image takes a while to load and only this function needs it.
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
