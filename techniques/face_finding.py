"""Finding faces with the face parser itself, so that no detector's weights are needed.

Candidates come from two sources that miss different faces: the parser on coarse windows of the
picture (large faces, any pose), and a boosted cascade of local binary patterns or Haar features
(Viola and Jones, CVPR 2001; small frontal faces, many false ones). The parser then looks at each
candidate closely and keeps those that show skin with eyes, nose and mouth in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import ceil
from pathlib import Path
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
WINDOWS_PER_SIDE = (1, 2)
FINDING_SIZE = 256
CASCADE_LONG_SIDE = 800
CASCADE_WINDOW = 24
CASCADE_SMALLEST_FACE = 40
SAME_FACE_OVERLAP = 0.5
LEAST_SPECK = 0.05
LEAST_SHARE = 0.15
LEAST_SOLIDITY = 0.4
LEAST_FEATURE = 0.002
HIDDEN_FEATURE = 0.7
LEAST_SCORE = 0.48
PEAK_SHARE = 0.0003
THREAD = 0.015

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

    A face wholly inside the picture counts from about 3 % of its longer side.
    """
    candidates = _merge(
        propose_by_parsing(image, parser) + propose_by_cascade(image), _shared_of_both
    )
    seen = _merge(_look_closely(image, parser, candidates), _shared_of_smaller)
    # The first look may have been off centre; the second one has the face where it belongs.
    faces = _merge(_look_closely(image, parser, seen), _shared_of_smaller)
    return sorted(faces, key=lambda face: (face.box[0] + face.box[2] / 2, face.box[1]))


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


def _look_closely(image: Tensor, parser: FaceParser, candidates: Sequence[Face]) -> list[Face]:
    """Parse the surroundings of each candidate and return the faces that are really there."""
    if not candidates:
        return []
    squares = [square_around(face.box, *image.shape[:2]) for face in candidates]
    parsed = _parse(image, squares, parser)
    looks = zip(candidates, squares, parsed, strict=True)
    seen = (_face_in(probabilities, square, face.box) for face, square, probabilities in looks)
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


def _merge(faces: Sequence[Face], overlap: Callable[[Box, Box], float]) -> list[Face]:
    """Keep the best of the faces whose boxes overlap."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(overlap(face.box, other.box) < SAME_FACE_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _shared(first: Box, second: Box) -> float:
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(0.0, across) * max(0.0, down)


def _shared_of_smaller(first: Box, second: Box) -> float:
    return _shared(first, second) / min(first[2] * first[3], second[2] * second[3])


def _shared_of_both(first: Box, second: Box) -> float:
    """Intersection over union: a wrong large box must not hide a right small one inside it."""
    shared = _shared(first, second)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def propose_by_parsing(image: Tensor, parser: FaceParser) -> list[Face]:
    """Propose every face-like region that the parser shows in overlapping square windows."""
    height, width = image.shape[:2]
    windows = [
        Square(left, top, side)
        for side in {ceil(max(height, width) / count) for count in WINDOWS_PER_SIDE}
        for top, left in product(_starts(height, side), _starts(width, side))
    ]
    found = []
    for probabilities, window in zip(_parse(image, windows, parser), windows, strict=True):
        face = class_share(probabilities, PRESETS["face"])
        count, labels, stats, _ = cv2.connectedComponentsWithStats((face > 0.5).astype(np.uint8))
        scale = window.side / len(face)
        for index in range(1, count):
            x, y, w, h, area = (int(value) for value in stats[index])
            if max(w, h) < LEAST_SPECK * len(face):
                continue
            box = (window.left + x * scale, window.top + y * scale, w * scale, h * scale)
            found.append(Face(box, float(face[labels == index].mean()) * area / (w * h)))
    return found


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin that cover a length and overlap by half or more."""
    if length <= side:
        return [(length - side) // 2]
    steps = ceil((length - side) / (side / 2))
    return [round(k * (length - side) / steps) for k in range(steps + 1)]


def propose_by_cascade(image: Tensor) -> list[Face]:
    """Propose the faces that a frontal-face cascade sees in the shrunken picture."""
    height, width = image.shape[:2]
    scale = min(CASCADE_WINDOW / CASCADE_SMALLEST_FACE, CASCADE_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if min(size) < CASCADE_WINDOW:
        return []
    pixels = (image.detach().cpu().float().numpy().clip(0, 1) * 255).round().astype(np.uint8)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    # A low score: where the parser and the cascade agree, the parser's box is the better one.
    return [
        Face((x / scale, y / scale, w / scale, h / scale), 0.0)
        for x, y, w, h in _cascade_boxes(pixels)
    ]


def _cascade_boxes(pixels: np.ndarray) -> list[tuple[int, int, int, int]]:
    haar = _haar_cascade()
    if haar is not None:
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        least = (CASCADE_WINDOW, CASCADE_WINDOW)
        return [tuple(int(v) for v in box) for box in haar.detectMultiScale(gray, minSize=least)]
    hits = _local_binary_cascade().detect_multi_scale(
        pixels,
        scale_factor=1.2,
        step_ratio=1,
        min_size=(CASCADE_WINDOW, CASCADE_WINDOW),
        max_size=(max(pixels.shape), max(pixels.shape)),
    )
    return [(hit["c"], hit["r"], hit["width"], hit["height"]) for hit in hits]


@lru_cache(maxsize=1)
def _haar_cascade() -> Any | None:
    """OpenCV 4 has the class and its file, OpenCV 5 neither."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / "haarcascade_frontalface_alt2.xml"
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        return None
    return cv2.CascadeClassifier(str(path))


@lru_cache(maxsize=1)
def _local_binary_cascade() -> Any:
    # Imported late: scikit-image takes a while to load and only this function needs it.
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
