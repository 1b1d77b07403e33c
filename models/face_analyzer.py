"""Face detection and identity embedding behind one interface, for all analyzers.

The identity of two pictures of a face is compared as the cosine of their embeddings, both crops
being aligned by the landmarks of the original picture: detectors fail on paintings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .face_detector import FaceDetector, load_face_detector
from .face_embedder import FaceEmbedder, align_faces, load_face_embedder
from .starter_files import starter_file


@dataclass(frozen=True)
class FoundFace:
    """A face of one picture.

    box (x, y, w, h) in pixels from the picture's border; score in 0..1; landmarks [5, 2] as
    (x, y) indices of pixels, which `align_faces` takes: left eye, right eye, tip of the nose, left
    and right corner of the mouth, as the viewer sees them; None when the provider gives none.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Tensor | None


@dataclass(frozen=True)
class Thresholds:
    """Limits for an embedder's cosines: one person from `same`, two people below `different`.

    `source` says where the two numbers come from.
    """

    same: float
    different: float
    source: str


class FaceAnalyzer(Protocol):
    """The interface of face analyzers for nodes and techniques; socket type VISAGE_FACES.

    `embedding_size` and `thresholds` are None if the analyzer only detects faces.
    """

    name: str
    licence: str
    embedding_size: int | None
    thresholds: Thresholds | None

    def find(self, image: Tensor) -> list[FoundFace]:
        """Return the faces of one picture [H, W, 3] in 0..1, the surest first."""
        ...

    def embed(self, image: Tensor, faces: Sequence[Tensor]) -> Tensor:
        """Return [N, D] of unit length for landmarks [5, 2] each in a picture [H, W, 3].

        Raises ValueError when `embedding_size` is None.
        """
        ...


class Recognizer(Protocol):
    """Unit vectors [N, D] of faces on the template, [N, 112, 112, 3] in 0..1."""

    size: int
    thresholds: Thresholds

    def embed(self, faces: Tensor) -> Tensor: ...


class Analyzer:
    """A FaceAnalyzer of one detector and, unless it can only detect, one recognizer."""

    def __init__(
        self,
        name: str,
        licence: str,
        detect: Callable[[Tensor], list[FoundFace]],
        recognizer: Recognizer | None = None,
    ) -> None:
        self.name = name
        self.licence = licence
        self.embedding_size = recognizer.size if recognizer else None
        self.thresholds = recognizer.thresholds if recognizer else None
        self._detect = detect
        self._recognizer = recognizer

    def find(self, image: Tensor) -> list[FoundFace]:
        """As FaceAnalyzer.find. Raises ValueError for another shape."""
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"A face analyzer takes one picture [H, W, 3], not {list(image.shape)}."
            )
        return self._detect(image)

    def embed(self, image: Tensor, faces: Sequence[Tensor]) -> Tensor:
        """As FaceAnalyzer.embed. Raises ValueError for other shapes, and as it says."""
        if self._recognizer is None:
            raise ValueError(
                f"The face analyzer {self.name!r} finds faces but cannot tell people apart. "
                "Choose one with a recognizer in Load Face Analyzer, such as the starter."
            )
        if not len(faces):
            return image.new_zeros(0, self._recognizer.size)
        landmarks = torch.stack([face.to(image.device) for face in faces])
        return self._recognizer.embed(align_faces(image, landmarks))


class StarterRecognizer:
    """The starter's embedder as a Recognizer."""

    # Of photographs of 51 people with two expressions each (`visage evaluate photos`), 5 in 100
    # pairs of two people lie above the first number, and 5 in 100 of one person below the second.
    # Of drawn people none lie above the first, and 5 in 100 below the second (13, painted).
    thresholds = Thresholds(
        0.72, 0.45, "measured on 102 photographs of 51 people, 5 % wrong on either side"
    )

    def __init__(self, embedder: FaceEmbedder) -> None:
        self.embed = embedder.embed
        projection: Any = embedder.network.get_submodule("project.0")
        self.size = projection.out_features


def starter_analyzer(
    manage: Callable[[FaceDetector | FaceEmbedder], object] = lambda model: None,
) -> Analyzer:
    """The starter's detector and embedder; the embedder learned from drawn people.

    `manage` is given each of the two, to set its `on_use` (an engine's memory manager hooks in
    here). Raises FileNotFoundError where the starter is not complete.
    """
    detector = load_face_detector(starter_file("face_detector"))
    embedder = load_face_embedder(starter_file("face_embedder"))
    manage(detector)
    manage(embedder)

    def detect(image: Tensor) -> list[FoundFace]:
        (found,) = detector.find(image[None])
        return [
            FoundFace(tuple(box), score, landmarks)
            for box, score, landmarks in zip(
                found.boxes.tolist(), found.scores.tolist(), found.landmarks, strict=True
            )
        ]

    return Analyzer("starter", "Apache-2.0", detect, StarterRecognizer(embedder))
