"""dlib's face detector, landmarks and 128-number embedding, without a compiler.

The files come with the packages of the extra `faces` (`dlib-bin`, `face-recognition-models`), or
are put into a folder of models/visage_face_analyzers. King, "Dlib-ml", JMLR 2009; the 68 landmarks
are Kazemi and Sullivan's "One Millisecond Face Alignment with an Ensemble of Regression Trees".
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .face_analyzer import FoundFace, Thresholds
from .face_detector import suppress
from .face_embedder import similarity, warp_face

LICENCE = (
    "dlib: Boost; its recognizer: public domain (CC0); the 68 landmarks were trained on iBUG "
    "300-W, which excludes commercial use"
)
PACKAGE = "face_recognition_models"
RECOGNIZER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_68_face_landmarks.dat"
HOW_TO_GET = (
    "pip install dlib-bin face-recognition-models, or put "
    f"{RECOGNIZER} and {LANDMARKS} (http://dlib.net/files) in a folder of their own in "
    "models/visage_face_analyzers"
)

SIDE = 150
EMBEDDING_SIZE = 128
# Where dlib's own alignment (chips of 150 px, padding 0.25) puts our five points: the median over
# 43 photographs of people who do not exist.
TEMPLATE = ((46.85, 45.05), (98.73, 46.03), (74.19, 75.44), (51.71, 104.35), (93.94, 105.1))
_OF_68 = (range(36, 42), range(42, 48), (30,), (48,), (54,))
"""Left eye, right eye, tip of the nose and corners of the mouth among the 68 landmarks."""
MIN_SCORE = 0.2
"""Of the detector's own scale, where dlib's demonstrations take 0."""
_ENLARGE_BELOW = 1000
"""Pixels of the longer side: the detector knows faces from 80 px, in a picture twice as large from
40."""
_MAX_SIDE = 2000


@dataclass(frozen=True)
class DlibFiles:
    """The two files that the analyzer reads."""

    recognizer: Path
    landmarks: Path


def dlib_files(folder: Path | None = None) -> DlibFiles | None:
    """The files in a folder, or in the installed package; None where one or dlib is missing."""
    if importlib.util.find_spec("dlib") is None:
        return None
    if folder is None:
        # Only looked for: importing the package takes setuptools, which newer Pythons lack.
        package = importlib.util.find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            return None
        folder = Path(next(iter(package.submodule_search_locations))) / "models"
    files = DlibFiles(folder / RECOGNIZER, folder / LANDMARKS)
    return files if files.recognizer.is_file() and files.landmarks.is_file() else None


def dlib_analyzer(files: DlibFiles | None = None) -> DlibAnalyzer:
    """The analyzer of some files, or of the installed package.

    Raises FileNotFoundError where something is missing and ValueError for a file that dlib cannot
    read.
    """
    files = files or dlib_files()
    if files is None:
        missing = [n for n in ("dlib", PACKAGE) if importlib.util.find_spec(n) is None]
        raise FileNotFoundError(
            f"dlib's face analysis is not installed (not found: {', '.join(missing) or RECOGNIZER}"
            f"). Get it with: {HOW_TO_GET}."
        )
    return DlibAnalyzer(files)


class DlibAnalyzer:
    """A FaceAnalyzer of dlib's HOG detector, its 68 landmarks and its residual network.

    The detector sees upright frontal faces. dlib compares vectors by their distance, 0.6 and less
    being one person; here they are brought to unit length as everybody's.
    """

    name = "dlib"
    licence = LICENCE
    embedding_size = EMBEDDING_SIZE
    # Of 51 people with two expressions each: the mean of ten folds' thresholds, and the number that
    # one in a thousand pairs of two people pass.
    thresholds = Thresholds(0.95, 0.94, "measured on 102 photographs of 51 people, 99 % right")

    def __init__(self, files: DlibFiles) -> None:
        # Imported late: only users of dlib need it.
        import dlib

        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = _read(dlib.shape_predictor, files.landmarks)
        self._recognizer = _read(dlib.face_recognition_model_v1, files.recognizer)

    def find(self, image: Tensor) -> list[FoundFace]:
        """Return the faces of one picture [H, W, 3] in 0..1, the surest first.

        Raises ValueError for another shape.
        """
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"A face analyzer takes one picture [H, W, 3], not {list(image.shape)}."
            )
        pixels = _as_bytes(image)
        long_side = max(pixels.shape[:2])
        shrink = min(1.0, _MAX_SIDE / long_side)
        seen = _resized(pixels, shrink)
        doubled = int(long_side * shrink < _ENLARGE_BELOW)
        rectangles, scores, _ = self._detector.run(seen, doubled, MIN_SCORE)
        if not rectangles:
            return []
        found = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            points = self._five_points(seen, rectangle) / shrink
            box = [
                value / shrink
                for value in (
                    rectangle.left(),
                    rectangle.top(),
                    rectangle.width(),
                    rectangle.height(),
                )
            ]
            # The detector's own scale begins at 0 and has no end; 1 is a sure face.
            sure = float(torch.sigmoid(torch.tensor(4 * score)))
            found.append(FoundFace(tuple(box), sure, torch.from_numpy(points).float()))
        boxes = torch.tensor([face.box for face in found])
        kept = suppress(boxes, torch.tensor([face.score for face in found]))
        return [found[index] for index in kept.tolist()]

    def _five_points(self, pixels: np.ndarray, rectangle: Any) -> np.ndarray:
        parts = self._landmarks(pixels, rectangle).parts()
        points = np.array([(point.x, point.y) for point in parts], np.float64)
        return np.stack([points[list(group)].mean(0) for group in _OF_68])

    def embed(self, image: Tensor, faces: Sequence[Tensor]) -> Tensor:
        """Return [N, 128] of unit length for landmarks [5, 2] each in a picture [H, W, 3]."""
        if not len(faces):
            return image.new_zeros(0, EMBEDDING_SIZE)
        landmarks = torch.stack([face.to(image.device) for face in faces])
        template = torch.tensor(TEMPLATE, device=image.device)
        chips = [warp_face(image, onto, SIDE)[0] for onto in similarity(landmarks, template)]
        rows = [
            # A face and its mirror image count alike, as for the other embedders.
            [np.array(self._recognizer.compute_face_descriptor(view)) for view in _both(chip)]
            for chip in chips
        ]
        vectors = torch.from_numpy(np.array(rows)).sum(1).float()
        return F.normalize(vectors, dim=1).to(image.device)


def _both(chip: Tensor) -> list[np.ndarray]:
    return [_as_bytes(chip), _as_bytes(chip.flip(1))]


def _as_bytes(image: Tensor) -> np.ndarray:
    pixels = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    return np.ascontiguousarray(pixels)


def _resized(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return pixels
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _read(load: Any, path: Path) -> Any:
    try:
        return load(str(path))
    except RuntimeError as error:
        raise ValueError(
            f"dlib cannot read {path}: {str(error).strip() or 'it is no such file'}. {HOW_TO_GET}."
        ) from error
