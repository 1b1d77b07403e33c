"""Finding faces with the face parser itself, so that no detector's weights are needed.

Candidates come from two sources that miss different faces: the parser on coarse windows of the
picture (large faces, any pose), and a boosted cascade of local binary patterns (Viola and Jones,
CVPR 2001; Zhang et al., ICB 2007; small frontal faces, many false ones). The parser then looks at
each candidate closely and keeps those that show skin with eyes, nose and mouth in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import ceil
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_classes import CLASSES, PRESETS
from ..models.face_parser import FaceParser

Box = tuple[float, float, float, float]

# As CelebA-HQ is framed, which face parsers are trained on.
CONTEXT = 0.6
# Coarse windows: the longer side over these. Where a face is needs no more pixels than this.
WINDOWS_PER_SIDE = (1, 2)
FINDING_SIZE = 256
# The cascade's own window, and the picture shrunk for it; pixels, degrees.
CASCADE_WINDOW = 24
CASCADE_SMALLEST_FACE = 40
CASCADE_LONG_SIDE = 800
CASCADE_ANGLES = (0, -20, 20)
# A portrait: at most this large, its face at least this high.
PORTRAIT_LONG_SIDE = 640
PORTRAIT_SHARE = 0.25
# Shares of the larger and of the smaller box.
SAME_PLACE_OVERLAP = 0.6
SAME_FACE_OVERLAP = 0.5
# Lengths as parts of the parsed square's side: a coarse find, a face, and a thin link in it.
LEAST_SPECK = 0.05
LEAST_SHARE = 0.15
THREAD = 0.015
# Areas as parts of the face's box, of the face, and of the parsed square.
LEAST_SOLIDITY = 0.4
LEAST_FEATURE = 0.002
PEAK_SHARE = 0.0003
# On photographs the starter gives true faces 0.50 to 0.64 and the best of its errors 0.43.
LEAST_SCORE = 0.48
HIDDEN_FEATURE = 0.7

_FEATURES = (
    ("left_eye",),
    ("right_eye",),
    ("glasses",),
    ("nose",),
    ("mouth", "upper_lip", "lower_lip"),
)


@dataclass(frozen=True)
class Face:
    """A face: its box (x, y, width, height) in pixels and a score in 0..1."""

    box: Box
    score: float


@dataclass(frozen=True)
class Square:
    """A square part of a picture in whole pixels; it may reach over the border."""

    left: int
    top: int
    side: int


def find_faces(image: Tensor, parser: FaceParser) -> list[Face]:
    """Return the faces of one picture [H, W, 3], from left to right.

    Faces are looked for down to about 3 % of the picture's longer side, and heads that lean by
    some 30 degrees. A small picture with one large face is taken for a portrait: small faces in
    its background are not looked for.
    """
    seen = _look_closely(image, parser, propose_by_parsing(image, parser))
    if not _is_portrait(image, seen):
        seen += _look_closely(image, parser, propose_by_cascade(image))
    # The first look may have been off centre; the second one has the face where it belongs.
    faces = _merge(_look_closely(image, parser, [face.box for face in _merge(seen)]))
    return sorted(faces, key=lambda face: (face.box[0] + face.box[2] / 2, face.box[1]))


def _is_portrait(image: Tensor, faces: Sequence[Face]) -> bool:
    long_side = max(image.shape[:2])
    largest = max((face.box[3] for face in faces), default=0)
    return long_side <= PORTRAIT_LONG_SIDE and largest >= PORTRAIT_SHARE * long_side


def square_around(box: Box, height: int, width: int, context: float = CONTEXT) -> Square:
    """Return the square that shows a face in a picture of this size to the parser.

    Its side is (1 + context) times the box's longer side, at most the picture's longer side. It
    is moved inwards as far as the picture reaches: what is really there beats a continued edge.
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


def class_share(probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
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


def _look_closely(image: Tensor, parser: FaceParser, candidates: Iterable[Box]) -> list[Face]:
    """Parse the surroundings of each candidate and return the faces that are really there."""
    boxes: list[Box] = []
    for candidate in candidates:
        if all(_overlap(candidate, box, max) < SAME_PLACE_OVERLAP for box in boxes):
            boxes.append(candidate)
    if not boxes:
        return []
    squares = [square_around(box, *image.shape[:2]) for box in boxes]
    looks = zip(_parse(image, squares, parser), squares, boxes, strict=True)
    seen = (_face_in(probabilities, square, box) for probabilities, square, box in looks)
    return [face for face in seen if face is not None]


def _parse(image: Tensor, squares: Sequence[Square], parser: FaceParser) -> np.ndarray:
    """Parse squares [N, 19, S, S] small enough to be quick: where a face is needs no fine edges."""
    size = min(FINDING_SIZE, parser.input_size)
    return parser.parse_squares(cut_squares(image, squares, size), size).cpu().numpy()


def _face_in(probabilities: np.ndarray, square: Square, box: Box) -> Face | None:
    """Judge the face that a parsed square shows where a box is, or None where there is none."""
    size = probabilities.shape[1]
    face = class_share(probabilities, PRESETS["face"])
    component = component_in(_solid(face > 0.5), box_in_square(box, square, size))
    x, y, width, height = cv2.boundingRect(component.astype(np.uint8))
    if max(width, height) < LEAST_SHARE * size or not 0.4 <= width / max(height, 1) <= 2.0:
        return None
    if component.sum() < LEAST_SOLIDITY * width * height:
        return None
    certainty = float(probabilities.max(axis=0)[component].mean())
    score = certainty * _feature_score(probabilities, component)
    scale = square.side / size
    corner = (square.left + x * scale, square.top + y * scale)
    return Face((*corner, width * scale, height * scale), score) if score > LEAST_SCORE else None


@dataclass(frozen=True)
class _Feature:
    """Where (x, y) a feature of a face lies in a parsed square, and its peak probability."""

    centre: np.ndarray
    peak: float


def _feature_score(probabilities: np.ndarray, component: np.ndarray) -> float:
    """Return how surely a face's component [S, S] shows eyes, nose and mouth, in 0..1.

    It is the geometric mean of their peak probabilities, lowered for each one that is hidden, and
    0 where they do not lie as in a face.
    """
    left, right, glasses, nose, mouth = (
        _feature(class_share(probabilities, classes), component) for classes in _FEATURES
    )
    eyes = [eye for eye in (left, right) if eye] or [eye for eye in (glasses,) if eye]
    lower = [feature for feature in (nose, mouth) if feature]
    if not eyes or not lower:
        return 0.0
    if not _lie_as_in_a_face(eyes, lower, float(np.sqrt(component.sum()))):
        return 0.0
    peaks = [feature.peak for feature in (*eyes, *lower)]
    hidden = 4 - len(peaks)
    return float(np.prod(peaks) ** (1 / len(peaks))) * HIDDEN_FEATURE**hidden


def _lie_as_in_a_face(eyes: Sequence[_Feature], lower: Sequence[_Feature], unit: float) -> bool:
    """Whether eyes (left, right) and nose, mouth are in order on a head leaning 60 degrees at most.

    Of each pair only one may be seen. `unit` is the square root of the face's area in pixels.
    """
    middle = np.mean([eye.centre for eye in eyes], axis=0)
    down = (lower[-1].centre - middle) / unit
    length = np.hypot(*down)
    if not 0.15 < length < 1.1 or down[1] < 0.5 * length:
        return False
    along = down / length
    across = np.array([along[1], -along[0]])
    if len(lower) == 2:
        nose = (lower[0].centre - middle) / unit
        if not 0.1 * length < nose @ along < 0.9 * length or abs(nose @ across) > 0.3:
            return False
    if len(eyes) == 2:
        apart = (eyes[1].centre - eyes[0].centre) / unit
        return 0.2 < apart @ across < 0.9 and abs(apart @ along) < 0.5 * (apart @ across)
    return True


def _feature(share: np.ndarray, component: np.ndarray) -> _Feature | None:
    """Find a feature in a face's component [S, S] by its probability; None where it is hidden."""
    weights = np.where(component & (share > 0.3), share, 0)
    if weights.sum() < LEAST_FEATURE * component.sum():
        return None
    rows, columns = np.nonzero(weights)
    values = weights[rows, columns]
    highest = np.sort(values)[-max(1, round(PEAK_SHARE * weights.size)) :]
    centre = np.average((columns, rows), axis=1, weights=values)
    return _Feature(centre, float(highest.mean()))


def _solid(support: np.ndarray) -> np.ndarray:
    """Fill the holes of a boolean map [S, S] and open it: thin links must not stretch a face's box.

    Holes first, or an open mouth, which the parser may not know, would cut off the chin.
    """
    outlines, _ = cv2.findContours(
        support.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = cv2.drawContours(np.zeros(support.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    radius = round(THREAD * len(support))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.morphologyEx(filled, cv2.MORPH_OPEN, kernel) > 0


def _merge(faces: Sequence[Face]) -> list[Face]:
    """Keep the best of the faces that cover each other."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face.box, other.box, min) < SAME_FACE_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(first: Box, second: Box, reference: Callable[[float, float], float]) -> float:
    """Return the area two boxes share, as a part of the smaller (`min`) or larger one (`max`)."""
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    area = reference(first[2] * first[3], second[2] * second[3])
    return max(0, across) * max(0, down) / area


def propose_by_parsing(image: Tensor, parser: FaceParser) -> list[Box]:
    """Propose every face-like region that the parser shows in overlapping square windows."""
    height, width = image.shape[:2]
    windows = [
        Square(left, top, side)
        for side in (ceil(max(height, width) / count) for count in WINDOWS_PER_SIDE)
        for top, left in product(_starts(height, side), _starts(width, side))
    ]
    found = []
    for probabilities, window in zip(_parse(image, windows, parser), windows, strict=True):
        face = class_share(probabilities, PRESETS["face"]) > 0.5
        _, _, parts, _ = cv2.connectedComponentsWithStats(face.astype(np.uint8))
        scale = window.side / len(face)
        found += [
            (window.left + x * scale, window.top + y * scale, w * scale, h * scale)
            for x, y, w, h, _ in parts[1:].tolist()
            if max(w, h) >= LEAST_SPECK * len(face)
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
    scale = min(CASCADE_WINDOW / CASCADE_SMALLEST_FACE, CASCADE_LONG_SIDE / max(height, width))
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
