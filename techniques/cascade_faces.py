"""Face detection without any model file of the user's, by what OpenCV and this pack contain.

OpenCV 4 has Viola and Jones' frontal-face cascade ("Robust Real-Time Face Detection", 2004)
bundled; OpenCV 5 has not, and then `find_faces` takes its place: another cascade, whose finds the
face parser checks. Neither gives landmarks nor tells people apart.
"""

from __future__ import annotations

from pathlib import Path

import cv2
from torch import Tensor

from ..models.face_analyzer import Analyzer, FoundFace
from ..models.face_detector import MIN_FACE
from ..models.face_parser import FaceParser
from .face_finding import find_faces

HAAR = "haarcascade_frontalface_alt2.xml"


def haar_file() -> Path | None:
    """OpenCV's own frontal-face cascade; None where this OpenCV has none."""
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    path = Path(cv2.data.haarcascades) / HAAR
    return path if path.is_file() else None


def cascade_analyzer(parser: FaceParser) -> Analyzer:
    """An analyzer that can only detect; the parser is used where OpenCV has no cascade."""
    path = haar_file()
    if path is None:
        return Analyzer("cascade and parser", "BSD-3-Clause", lambda image: _parsed(image, parser))
    # OpenCV 5 has none, and its type stubs know of none.
    classifier = cv2.CascadeClassifier(str(path))  # pyrefly: ignore[missing-attribute]
    return Analyzer("haar", "Intel's licence (BSD-style)", lambda image: _seen(image, classifier))


def _parsed(image: Tensor, parser: FaceParser) -> list[FoundFace]:
    faces = sorted(find_faces(image, parser), key=lambda face: -face.score)
    return [FoundFace(face.box, face.score, None) for face in faces]


def _seen(image: Tensor, classifier) -> list[FoundFace]:
    pixels = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    boxes, counts = classifier.detectMultiScale2(grey, 1.1, 3, minSize=(MIN_FACE, MIN_FACE))
    # The score grows with the number of windows that agree on a face, of which there are at least
    # three.
    found = [
        FoundFace(tuple(float(value) for value in box), int(count) / (int(count) + 3), None)
        for box, count in zip(boxes, counts, strict=True)
    ]
    return sorted(found, key=lambda face: -face.score)
