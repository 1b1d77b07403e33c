"""Selection among the faces of a picture: by order, number and size, or by person."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.face_analyzer import FaceAnalyzer, FoundFace
from ..models.user_input import require_choice

ORDERS = ("left to right", "largest", "surest")
ALL = -1
"""The index that means every face."""


def choose_faces(
    faces: Sequence[FoundFace],
    order: str = "left to right",
    index: int = ALL,
    smallest: float = 0,
    largest: float = 0,
) -> list[FoundFace]:
    """Return the faces within size limits, in an order, or only number `index` of them from 0.

    A face's size is the longer side of its box in pixels; 0 means no limit. An index beyond the
    last face gives no face. Raises ValueError for an unknown order.
    """
    within = [
        face
        for face in faces
        if smallest <= size_of(face) and (not largest or size_of(face) <= largest)
    ]
    ordered = sorted(within, key=_key(order))
    return ordered if index == ALL else ordered[index : index + 1]


def size_of(face: FoundFace) -> float:
    """The longer side of a face's box, in pixels."""
    return max(face.box[2:])


def _key(order: str):
    keys = {
        "left to right": lambda face: (face.box[0] + face.box[2] / 2, face.box[1]),
        "largest": lambda face: -face.box[2] * face.box[3],
        "surest": lambda face: -face.score,
    }
    require_choice("order", order, keys)
    return keys[order]


def most_alike(
    image: Tensor, faces: Sequence[FoundFace], reference: Tensor, analyzer: FaceAnalyzer
) -> tuple[FoundFace, float] | None:
    """The face of a picture [H, W, 3] that is most like a reference embedding [D], and the cosine.

    None where no face has landmarks. Raises ValueError when the reference was made by an analyzer
    with another embedding size, or when this one can only detect.
    """
    candidates = [face for face in faces if face.landmarks is not None]
    if not candidates:
        return None
    vectors = analyzer.embed(image, [face.landmarks for face in candidates])
    require_same_size(reference[None], vectors)
    cosines = vectors @ reference.to(vectors)
    best = int(cosines.argmax())
    return candidates[best], float(cosines[best])


class ChosenFaces:
    """A FaceAnalyzer that finds only the chosen faces of another one.

    With a reference embedding [D] it finds that person: the face most like it, unless the
    analyzer's thresholds say that it is somebody else. Otherwise as `choose_faces`. Raises
    ValueError for an unknown order, and for a reference of another analyzer.
    """

    def __init__(
        self,
        analyzer: FaceAnalyzer,
        order: str = "left to right",
        index: int = ALL,
        smallest: float = 0,
        largest: float = 0,
        reference: Tensor | None = None,
    ) -> None:
        choose_faces([], order)
        self.analyzer = analyzer
        self.name, self.licence = analyzer.name, analyzer.licence
        self.embedding_size, self.thresholds = analyzer.embedding_size, analyzer.thresholds
        self.choice = {"order": order, "index": index, "smallest": smallest, "largest": largest}
        self.reference = reference

    def find(self, image: Tensor) -> list[FoundFace]:
        """The chosen faces of one picture [H, W, 3], in the chosen order."""
        found = self.analyzer.find(image)
        if self.reference is None:
            return choose_faces(found, **self.choice)
        within = choose_faces(found, **self.choice | {"index": ALL})
        best = most_alike(image, within, self.reference, self.analyzer)
        if best is None or (self.thresholds and best[1] < self.thresholds.different):
            return []
        return [best[0]]

    def embed(self, image: Tensor, faces: Sequence[Tensor]) -> Tensor:
        """As the analyzer's own."""
        return self.analyzer.embed(image, faces)


def reference_embedding(image: Tensor, analyzer: FaceAnalyzer) -> Tensor:
    """The identity that pictures [B, H, W, 3] show: the normalised mean embedding [D] of the
    largest face of each.

    Raises ValueError where none of the pictures shows a face, and for an analyzer that can only
    detect.
    """
    # Refuses an analyzer that can only detect, even where there is no face.
    vectors = list(analyzer.embed(image[0], []))
    for picture in image:
        for face in choose_faces(analyzer.find(picture), "largest", 0):
            if face.landmarks is not None:
                vectors.append(analyzer.embed(picture, [face.landmarks])[0])
    if not vectors:
        raise ValueError(
            f"The face analyzer {analyzer.name!r} finds no face with landmarks in the reference "
            f"picture ({len(image)} of {image.shape[2]} x {image.shape[1]} px). Give a picture "
            "that shows the person's face upright and larger, or another analyzer."
        )
    return torch.nn.functional.normalize(torch.stack(vectors).mean(0), dim=0)


def require_same_size(first: Tensor, second: Tensor) -> None:
    """Raise ValueError unless two sets of embeddings [N, D] have equal numbers D."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"Embeddings of {first.shape[1]} and of {second.shape[1]} numbers cannot be compared: "
            "two face analyzers made them. Connect one Load Face Analyzer to both nodes."
        )
