"""Finding faces: a detector proposes them, and the face parser looks closely.

The parser keeps candidates that show skin with eyes, nose and mouth. A candidate of which the
detector is very sure is always kept, because a face may be dark, turned away or half hidden. In
groups, so is one that it takes for a face again at other sizes and mirrored. If the detector finds
no face, it is also tried on the picture turned on its sides and on its head. If it still finds
none, candidates come from `face_proposals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.face_classes import PRESETS
from ..models.face_detector import MIN_FACE, Detections, FaceDetector, built_in_detector
from ..models.face_parser import FaceParser
from .face_proposals import propose_by_cascade, propose_by_parsing
from .face_squares import (
    Box,
    Square,
    box_in_square,
    class_fraction,
    component_in,
    cut_squares,
    parse_small,
    square_around,
)
from .mask_parts import without_holes

# A portrait: at most this large, its face at least this fraction of the longer side high.
PORTRAIT_LONG_SIDE = 640
PORTRAIT_FRACTION = 0.25
# A group: every face is less than this fraction of the longer side high.
GROUP_FRACTION = 0.15
# Fractions of the larger and of the smaller box.
SAME_PLACE_OVERLAP = 0.6
SAME_FACE_OVERLAP = 0.5
SAME_LOOK_OVERLAP = 0.3
# Lengths as fractions of the parsed square's side: a face, and a thin link in it.
MIN_FRACTION = 0.15
THREAD = 0.015
# Areas as fractions of the face's box, of the face, and of the parsed square.
MIN_SOLIDITY = 0.4
MIN_FEATURE = 0.002
PEAK_FRACTION = 0.0003
# On photographs an earlier starter gave true faces 0.50 to 0.64 and the best of its errors 0.43.
MIN_SCORE = 0.48
HIDDEN_FEATURE = 0.7

_FEATURES = (
    ("left_eye",),
    ("right_eye",),
    ("glasses",),
    ("nose",),
    ("mouth", "upper_lip", "lower_lip"),
)

# The minimum detector score of a candidate, and the score from which it needs no parser. In 50
# groups 0.6 as the latter finds more, 0.73 of the faces, but takes a glove and a helmet for faces.
CANDIDATE_SCORE = 0.4
CERTAIN_SCORE = 0.7
# Edge of the squares in which the detector looks at a doubtful candidate again, the sizes that the
# face has there, in pixels, and the mean certainty from which it is a face. On 410 photographs 0.54
# kept 17 faces more, and one man's hands in two of them; the threshold was chosen on these.
AGAIN_SIZE = 128
AGAIN_FACES = (26, 36, 50)
AGAIN_SCORE = 0.54
# The minimum score in a turned picture, and by how much its surest face must be surer than the
# surest upright one. From SURE_SCORE on a face is upright, and the picture is not turned.
TURNED_SCORE = 0.7
SURE_SCORE = 0.8
MARGIN = 0.1
# The picture's longer side divided by the size of the smallest face.
LONG_SIDE_OVER_FACE = 170
LONG_SIDE_OVER_TURNED_FACE = 24


@dataclass(frozen=True)
class Face:
    """A face: its box (x, y, width, height) in pixels and a score in 0..1.

    `turns`: how often the picture must be turned by 90 degrees, anticlockwise as `torch.rot90`
    does, until the face is upright.
    """

    box: Box
    score: float
    turns: int = 0


def find_faces(
    image: Tensor, parser: FaceParser, detector: FaceDetector | None = None
) -> list[Face]:
    """Return the faces of one picture [H, W, 3], from left to right.

    The smallest faces have 24 pixels, or 1/170 of the longer side in pictures of more than 4,000
    pixels. Heads may lean by about 45 degrees. If no face is surely upright, large faces are
    searched for in the three other orientations of the picture, and the orientation with the surest
    one is taken. The default `detector` is the built-in one.
    """
    detector = detector or built_in_detector()
    upright = _detected(image, parser, detector, upright=True)
    if _surest(upright) >= SURE_SCORE:
        return _in_order(upright)
    found = [upright] + [
        _detected(torch.rot90(image, turns), parser, detector, upright=False) for turns in (1, 2, 3)
    ]
    turns = max(range(4), key=lambda k: _surest(found[k]) + (MARGIN if k == 0 else 0.0))
    if not found[turns]:
        return _in_order(_without_detector(image, parser))
    return _in_order(_turned_back(face, turns, *image.shape[:2]) for face in found[turns])


def _surest(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=-1.0)


def _in_order(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (face.box[0] + face.box[2] / 2, face.box[1]))


def _detected(
    image: Tensor, parser: FaceParser, detector: FaceDetector, upright: bool
) -> list[Face]:
    """The detector's faces that the parser sees too, or that are certain.

    In a turned picture they must be large, and both must see them.
    """
    over = LONG_SIDE_OVER_FACE if upright else LONG_SIDE_OVER_TURNED_FACE
    smallest = max(MIN_FACE, round(max(image.shape[:2]) / over))
    (found,) = detector.find(image[None], CANDIDATE_SCORE if upright else TURNED_SCORE, smallest)
    faces = _merge(_confirmed(image, parser, found, CERTAIN_SCORE if upright else 1.0))
    sure = [face for face in faces if face.score >= SURE_SCORE]
    largest = max((face.box[3] for face in sure), default=0) / max(image.shape[:2])
    # Beside a large face doubtful ones are folds of sleeves and hair; in groups mostly faces.
    if largest >= PORTRAIT_FRACTION:
        return sure
    if upright and largest < GROUP_FRACTION:
        faces += _confirmed_again(image, detector, found, faces)
    return _merge(faces)


def _confirmed(
    image: Tensor, parser: FaceParser, found: Detections, certain: float
) -> Iterable[Face]:
    boxes = [tuple(box) for box in found.boxes.tolist()]
    seen = _looks(image, parser, boxes)
    for box, score, face in zip(boxes, found.scores.tolist(), seen, strict=True):
        if face is not None and _overlap(face.box, box, max) > SAME_LOOK_OVERLAP:
            yield Face(face.box, max(score, face.score))
        elif score >= certain:
            yield Face(_clipped(box, *image.shape[:2]), score)


def _confirmed_again(
    image: Tensor, detector: FaceDetector, found: Detections, faces: Sequence[Face]
) -> Iterable[Face]:
    """The candidates at which there is no face yet and the detector sees one again."""
    for box in map(tuple, found.boxes.tolist()):
        if any(_overlap(box, face.box, min) >= SAME_FACE_OVERLAP for face in faces):
            continue
        score = certainty_again(image, detector, box)
        if score >= AGAIN_SCORE:
            yield Face(_clipped(box, *image.shape[:2]), score)


def certainty_again(image: Tensor, detector: FaceDetector, box: Box) -> float:
    """The detector's mean certainty of a face in a box at three sizes, each also mirrored."""
    x, y, width, height = box
    views, boxes = [], []
    for face in AGAIN_FACES:
        side = max(1, round(AGAIN_SIZE / face * max(width, height)))
        left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
        square = Square(left, top, side)
        view = cut_squares(image, [square], AGAIN_SIZE)
        across, *others = box_in_square(box, square, AGAIN_SIZE)
        views += [view, view.flip(2)]
        boxes += [(across, *others), (AGAIN_SIZE - across - others[1], *others)]
    return float(detector.certainty(torch.cat(views), torch.tensor(boxes)).mean())


def _clipped(box: Box, height: int, width: int) -> Box:
    """The part of a box that is inside the picture."""
    x, y, w, h = box
    left, top = max(0.0, x), max(0.0, y)
    return left, top, min(width, x + w) - left, min(height, y + h) - top


def _turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """A face of the picture turned `turns` times, in the picture [height, width] itself."""
    x, y, w, h = face.box
    for turn in range(turns, 0, -1):
        # One turn anticlockwise takes (x, y) to (y, width - x): this is the way back.
        across = width if turn % 2 else height
        x, y, w, h = across - y - h, x, h, w
    return Face((x, y, w, h), face.score, turns)


def _without_detector(image: Tensor, parser: FaceParser) -> list[Face]:
    seen = _look_closely(image, parser, propose_by_parsing(image, parser))
    if not _is_portrait(image, seen):
        seen += _look_closely(image, parser, propose_by_cascade(image))
    # The first look may have been off centre; the second one has the face where it belongs.
    return _merge(_look_closely(image, parser, [face.box for face in _merge(seen)]))


def _is_portrait(image: Tensor, faces: Sequence[Face]) -> bool:
    long_side = max(image.shape[:2])
    largest = max((face.box[3] for face in faces), default=0)
    return long_side <= PORTRAIT_LONG_SIDE and largest >= PORTRAIT_FRACTION * long_side


def _look_closely(image: Tensor, parser: FaceParser, candidates: Iterable[Box]) -> list[Face]:
    """Parse the surroundings of each candidate and return the faces that are really there."""
    boxes: list[Box] = []
    for candidate in candidates:
        if all(_overlap(candidate, box, max) < SAME_PLACE_OVERLAP for box in boxes):
            boxes.append(candidate)
    return [face for face in _looks(image, parser, boxes) if face is not None]


def _looks(image: Tensor, parser: FaceParser, boxes: Sequence[Box]) -> list[Face | None]:
    """What the parser sees in the surroundings of each box."""
    squares = [square_around(box, *image.shape[:2]) for box in boxes]
    if not boxes:
        return []
    return [
        _face_in(probabilities, square, box)
        for probabilities, square, box in zip(
            parse_small(image, squares, parser), squares, boxes, strict=True
        )
    ]


def _face_in(probabilities: np.ndarray, square: Square, box: Box) -> Face | None:
    """Judge the face that a parsed square shows where a box is, or None where there is none."""
    size = probabilities.shape[1]
    face = class_fraction(probabilities, PRESETS["face"])
    component = component_in(_solid(face > 0.5), box_in_square(box, square, size))
    x, y, width, height = cv2.boundingRect(component.astype(np.uint8))
    if max(width, height) < MIN_FRACTION * size or not 0.4 <= width / max(height, 1) <= 2.0:
        return None
    if component.sum() < MIN_SOLIDITY * width * height:
        return None
    certainty = float(probabilities.max(axis=0)[component].mean())
    score = certainty * _feature_score(probabilities, component)
    scale = square.side / size
    corner = (square.left + x * scale, square.top + y * scale)
    return Face((*corner, width * scale, height * scale), score) if score > MIN_SCORE else None


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
        _feature(class_fraction(probabilities, classes), component) for classes in _FEATURES
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


def _feature(fraction: np.ndarray, component: np.ndarray) -> _Feature | None:
    """Find a feature in a face's component [S, S] by its probability; None where it is hidden."""
    weights = np.where(component & (fraction > 0.3), fraction, 0)
    if weights.sum() < MIN_FEATURE * component.sum():
        return None
    rows, columns = np.nonzero(weights)
    values = weights[rows, columns]
    highest = np.sort(values)[-max(1, round(PEAK_FRACTION * weights.size)) :]
    centre = np.average((columns, rows), axis=1, weights=values)
    return _Feature(centre, float(highest.mean()))


def _solid(support: np.ndarray) -> np.ndarray:
    """Fill the holes of a boolean map [S, S] and open it: thin links must not stretch a face's box.

    Holes first, or an open mouth, which the parser may not know, would cut off the chin.
    """
    filled = without_holes(support).astype(np.uint8)
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
