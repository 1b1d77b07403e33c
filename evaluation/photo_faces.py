"""Photographs on which edits are measured, and an independent face detector for them.

The detector is dlib's HOG detector with its landmarks and face embedding (packages `dlib-bin` and
`face-recognition-models`). Neither it nor pictures of real people are used in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..models.dlib_faces import RECOGNIZER, dlib_files
from ..training.starter.photographs import face_lines, read_photographs, read_picture

SYNTHETIC = "synthetic"
REAL = ("people", "headshots")
LONG_SIDE = 512
SAME_FACE = 0.4
"""Intersection over union from which two boxes are of one face."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Portrait:
    """A photograph uint8 [H, W, 3] of at most LONG_SIDE px, its source, and its labels."""

    file: str
    source: str
    image: np.ndarray
    labels: dict[str, str]


def measured_photographs(folder: Path, count: int) -> list[Portrait]:
    """Read `count` photographs, a third each of people, headshots and held-out synthetic portraits.

    They are spread evenly over each set; a smaller set is used whole. Raises FileNotFoundError or
    ValueError as `read_photographs`.
    """
    sources = [*REAL, SYNTHETIC]
    chosen: list[Portrait] = []
    for number, source in enumerate(sources):
        quota = count // len(sources) + (number < count % len(sources))
        chosen += _portraits(folder, source, quota)
    return chosen


def held_out_portraits(folder: Path) -> list[Portrait]:
    """Read the synthetic portraits on which no stage is trained."""
    return _synthetic(folder, "test")


def _synthetic(folder: Path, split) -> list[Portrait]:
    return [
        Portrait(photo.file, SYNTHETIC, shrink(photo.image), photo.labels)
        for photo in read_photographs(folder / SYNTHETIC, split)
    ]


def training_portraits(folder: Path, count: int) -> list[Portrait]:
    """Read `count` of the synthetic portraits that the stages are trained on, spread evenly."""
    return spread(_synthetic(folder, "train"), count)


def _portraits(folder: Path, source: str, count: int) -> list[Portrait]:
    if source == SYNTHETIC:
        return spread(held_out_portraits(folder), count)
    lines = spread(list(face_lines(folder / source)), count)
    return [
        Portrait(line["file"], source, shrink(read_picture(folder / source / line["file"])), {})
        for line in lines
    ]


def spread(values: Sequence, count: int) -> list:
    """`count` of the values at even distances, in order; all of them if there are fewer."""
    if len(values) <= count:
        return list(values)
    return [values[round(k * (len(values) - 1) / max(1, count - 1))] for k in range(count)]


def shrink(image: np.ndarray, long_side: int = LONG_SIDE) -> np.ndarray:
    """The picture with its longer side at most `long_side`."""
    scale = min(1.0, long_side / max(image.shape[:2]))
    if scale == 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right = min(first[0] + first[2], second[0] + second[2])
    bottom = min(first[1] + first[3], second[1] + second[3])
    shared = max(0, right - left) * max(0, bottom - top)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


class FaceJudge:
    """dlib's detector and embedding of frontal faces, as an independent judge.

    Raises ModuleNotFoundError naming the packages that are not installed.
    """

    def __init__(self) -> None:
        files = dlib_files()
        if files is None:
            raise ModuleNotFoundError(
                "Measuring on photographs needs the packages dlib-bin and "
                "face-recognition-models: pip install dlib-bin face-recognition-models."
            )
        # Imported late: only these measurements need it.
        import dlib

        self._dlib = dlib
        self._models = files.recognizer.parent
        self._detector = dlib.get_frontal_face_detector()

    @cached_property
    def _points(self):
        return self._dlib.shape_predictor(
            str(self._models / "shape_predictor_5_face_landmarks.dat")
        )

    @cached_property
    def _embedder(self):
        return self._dlib.face_recognition_model_v1(str(self._models / RECOGNIZER))

    def faces(self, image: np.ndarray) -> list[Box]:
        """Boxes of the faces found in a picture uint8 [H, W, 3], the largest first."""
        found = self._detector(np.ascontiguousarray(image), 1)
        boxes = [(box.left(), box.top(), box.width(), box.height()) for box in found]
        return sorted(boxes, key=lambda box: -box[2])

    def embedding(self, image: np.ndarray, box: Box) -> np.ndarray:
        """The embedding [128] of the face in a box."""
        image = np.ascontiguousarray(image)
        x, y, width, height = box
        rectangle = self._dlib.rectangle(x, y, x + width - 1, y + height - 1)
        points = self._points(image, rectangle)
        return np.array(self._embedder.compute_face_descriptor(image, points))
