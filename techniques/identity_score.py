"""How much of the person is kept: the cosine of a face's embeddings before and after.

Both faces are aligned by the landmarks of the original picture, whose pixels also give the
reference embedding: a restyled face lies where the original was, and detectors fail on paintings.
Whether a detector still finds the face there is reported as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.face_analyzer import FaceAnalyzer, FoundFace, Thresholds
from ..models.face_detector import overlap
from .face_choice import require_same_size, size_of
from .face_overlay import draw_faces
from .shapes import is_padded, match_batch, same_aspect

MIN_COUNTED = 20
"""Faces whose longer side has fewer pixels are listed, but not counted in the mean."""
FOUND_AGAIN = 0.35
"""The least intersection over union of two boxes, before and after, of the same face."""
NO_FACE = ("accept", "reject", "error")
"""What can happen to a picture without a face."""
OWN_THRESHOLD = -1.0
"""In place of a cosine: the analyzer's own threshold for the same person."""
COLOURS = {"same": (120, 220, 130), "unsure": (245, 205, 90), "different": (240, 110, 100)}


@dataclass(frozen=True)
class FaceIdentity:
    """One face of a picture, before and after.

    box (x, y, w, h) in pixels of the original; cosine in -1..1; verdict "same", "unsure" or
    "different"; counted: large enough to be in the mean; found_again: the analyzer finds a face
    there in the result.
    """

    box: tuple[float, float, float, float]
    cosine: float
    verdict: str
    counted: bool
    found_again: bool


@dataclass(frozen=True)
class PictureIdentity:
    """All faces of a picture; `score` is the mean cosine of those that count, NaN without any."""

    faces: tuple[FaceIdentity, ...]
    score: float


def verdict_of(cosine: float, thresholds: Thresholds) -> str:
    """ "same", "unsure" or "different" for a cosine, by the embedder's thresholds."""
    if cosine >= thresholds.same:
        return "same"
    return "different" if cosine < thresholds.different else "unsure"


def identity_scores(
    original: Tensor,
    result: Tensor,
    analyzer: FaceAnalyzer,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PictureIdentity]:
    """Compare each face of pictures [B, H, W, 3] with what became of it in results [B, h, w, 3].

    One original serves many results. A result may have the original's size, be up to 7 px larger
    at its right and bottom (padding of the latent), or have another size of the same aspect ratio.
    Raises ValueError for other sizes, different batches, and an analyzer that can only detect or
    gives no landmarks.
    """
    original, result = match_batch(original, result, "original", "result")
    scale = _scale(original, result)
    found: list[FoundFace] = []
    scores = []
    for index, (before, after) in enumerate(zip(original, result, strict=True)):
        progress(index, len(original))
        # A repeated original is one view on the same pixels.
        if index == 0 or before.data_ptr() != original[index - 1].data_ptr():
            found = analyzer.find(before)
        scores.append(_score(before, after, found, scale, analyzer))
    progress(len(original), len(original))
    return scores


def _scale(original: Tensor, result: Tensor) -> tuple[float, float]:
    """Scale factors (across, down) of a result that is a resized version of the original."""
    (height, width), (high, wide) = original.shape[1:3], result.shape[1:3]
    if is_padded((high, wide), (height, width)):
        return 1.0, 1.0
    if not same_aspect((high, wide), (height, width)):
        raise ValueError(
            f"original is {width} x {height} px and result {wide} x {high} px: the aspect ratios "
            "differ, so a face cannot be found again. Give the result of the whole original."
        )
    return wide / width, high / height


def _score(
    before: Tensor,
    after: Tensor,
    found: Sequence[FoundFace],
    scale: tuple[float, float],
    analyzer: FaceAnalyzer,
) -> PictureIdentity:
    if any(face.landmarks is None for face in found):
        raise ValueError(
            f"The face analyzer {analyzer.name!r} gives no landmarks, so faces cannot be aligned "
            "and compared. Choose one with a recognizer in Load Face Analyzer."
        )
    landmarks = [face.landmarks for face in found]
    cosines = compare(
        analyzer.embed(before, landmarks),
        analyzer.embed(after, [scaled(points, scale) for points in landmarks]),
    ).tolist()
    again = _found_again(found, after, scale, analyzer) if found else []
    faces = tuple(
        FaceIdentity(
            face.box,
            cosine,
            verdict_of(cosine, analyzer.thresholds),
            size_of(face) >= MIN_COUNTED,
            seen,
        )
        for face, cosine, seen in zip(found, cosines, again, strict=True)
    )
    counted = [face.cosine for face in faces if face.counted]
    return PictureIdentity(faces, sum(counted) / len(counted) if counted else math.nan)


def compare(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [N] of unit vectors [N, D]; ValueError where two analyzers made them."""
    require_same_size(first, second)
    return (first * second.to(first)).sum(dim=1)


def scaled(landmarks: Tensor, scale: tuple[float, float]) -> Tensor:
    """Landmarks [5, 2], indices of pixels, in a picture that is resized by (across, down)."""
    return (landmarks + 0.5) * landmarks.new_tensor(scale) - 0.5


def _found_again(
    found: Sequence[FoundFace], after: Tensor, scale: tuple[float, float], analyzer: FaceAnalyzer
) -> list[bool]:
    """Whether a detector sees each face in the result as well."""
    boxes = torch.tensor([face.box for face in found])
    boxes = boxes * torch.tensor([*scale, *scale])
    others = [face.box for face in analyzer.find(after)]
    if not others:
        return [False] * len(found)
    return (overlap(boxes, torch.tensor(others)).amax(dim=1) >= FOUND_AGAIN).tolist()


def mean_score(pictures: Sequence[PictureIdentity]) -> float:
    """Mean cosine of all faces that count, of all pictures; NaN without any."""
    cosines = [face.cosine for picture in pictures for face in picture.faces if face.counted]
    return sum(cosines) / len(cosines) if cosines else math.nan


def describe(pictures: Sequence[PictureIdentity], analyzer: FaceAnalyzer) -> str:
    """The scores as lines of text: one for each face, then the mean and what the cosines mean."""
    lines = []
    for number, picture in enumerate(pictures):
        if not picture.faces:
            lines.append(f"picture {number}: no face found")
        for place, face in enumerate(picture.faces):
            notes = [] if face.counted else [f"under {MIN_COUNTED} px, not in the mean"]
            notes += [] if face.found_again else ["not detected in the result"]
            x, y, width, height = (round(value) for value in face.box)
            lines.append(
                f"picture {number}, face {place} at ({x}, {y}), {width} x {height} px: "
                f"{face.cosine:.3f} {face.verdict}" + "".join(f" ({note})" for note in notes)
            )
    faces = [face for picture in pictures for face in picture.faces]
    if faces:
        fraction = sum(face.found_again for face in faces) / len(faces)
        lines.append(f"mean {mean_score(pictures):.3f}, {fraction:.0%} of faces detected again")
    means = analyzer.thresholds
    if means:
        lines.append(
            f"{analyzer.name}: same from {means.same:.3f}, different below {means.different:.3f} "
            f"({means.source})"
        )
    return "\n".join(lines)


def is_accepted(number: int, picture: PictureIdentity, limit: float, no_face: str) -> bool:
    """Whether the cosine of each counted face is at least `limit`. Without counted faces, all faces
    are compared.

    `number` is that of the picture, for the ValueError that no_face = "error" raises.
    """
    if not picture.faces:
        if no_face == "error":
            raise ValueError(
                f"The original of picture {number} shows no face that the analyzer finds. Choose "
                "accept or reject in no_face to let such pictures pass, or another analyzer."
            )
        return no_face == "accept"
    counted = [face for face in picture.faces if face.counted] or picture.faces
    return all(face.cosine >= limit for face in counted)


def as_json(
    pictures: Sequence[PictureIdentity], accepted: Sequence[bool], analyzer: FaceAnalyzer
) -> str:
    """The scores, the accepted pictures and the analyzer's name, as JSON."""

    # JSON knows no NaN.
    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 4)

    return json.dumps(
        {
            "analyzer": analyzer.name,
            "identity": number(mean_score(pictures)),
            "pictures": [
                {
                    "identity": number(picture.score),
                    "accepted": passed,
                    "faces": [
                        {
                            "box": [round(value, 1) for value in face.box],
                            "cosine": number(face.cosine),
                            "verdict": face.verdict,
                            "counted": face.counted,
                            "found_again": face.found_again,
                        }
                        for face in picture.faces
                    ],
                }
                for picture, passed in zip(pictures, accepted, strict=True)
            ],
        },
        indent=2,
    )


@dataclass(frozen=True)
class IdentityReport:
    """The pictures' scores, who is accepted, and both as text, as JSON and drawn [B, h, w, 3]."""

    score: float
    accepted: list[bool]
    text: str
    json: str
    overlay: Tensor


def report_identity(
    original: Tensor,
    result: Tensor,
    analyzer: FaceAnalyzer,
    accept_from: float = OWN_THRESHOLD,
    no_face: str = NO_FACE[0],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> IdentityReport:
    """Score results [B, h, w, 3] against originals [B, H, W, 3] and accept those who stayed.

    A picture is accepted where each cosine is at least `accept_from`; OWN_THRESHOLD takes the
    analyzer's own. Raises ValueError as `identity_scores` and `is_accepted` do.
    """
    original, result = match_batch(original, result, "original", "result")
    pictures = identity_scores(original, result, analyzer, progress)
    if accept_from == OWN_THRESHOLD and analyzer.thresholds:
        accept_from = analyzer.thresholds.same
    accepted = [is_accepted(k, one, accept_from, no_face) for k, one in enumerate(pictures)]
    drawn = [draw_identity(*trio) for trio in zip(original, result, pictures, strict=True)]
    return IdentityReport(
        mean_score(pictures),
        accepted,
        describe(pictures, analyzer),
        as_json(pictures, accepted, analyzer),
        torch.stack(drawn),
    )


def draw_identity(original: Tensor, result: Tensor, picture: PictureIdentity) -> Tensor:
    """A result [h, w, 3] with each face's number, cosine and verdict, in the verdict's colour.

    The boxes are in pixels of the original [H, W, 3].
    """
    across, down = _scale(original[None], result[None])
    boxes = [
        (x * across, y * down, w * across, h * down)
        for x, y, w, h in (face.box for face in picture.faces)
    ]
    words = [
        f"{number}: {face.cosine:.2f} {face.verdict}" for number, face in enumerate(picture.faces)
    ]
    return draw_faces(result, boxes, words, [COLOURS[face.verdict] for face in picture.faces])
