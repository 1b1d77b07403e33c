"""The face of one picture brought into others: found, parsed, transferred and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.face_analyzer import FaceAnalyzer, FoundFace
from ..models.face_classes import expand_parts
from ..models.face_parser import FaceParser
from ..models.inswapper import DIMENSIONS, FACE_TEMPLATE, SIZE, Inswapper
from ..models.user_input import require_choice
from .bring_face import MAX_ANGLE, bring_face, face_scale, swap_face
from .face_choice import size_of
from .face_mask import face_mask
from .shapes import as_image, split_alpha

NO_FACE = ("as it is", "error")
"""What can happen to a picture without a face."""
PERSONS = ("the largest face", "the face in the same place")
"""Whose face of the reference is used."""
# How far a face's own mask may reach from the middle of its landmarks, in eye-to-mouth distances.
REACH = 3.0


@dataclass(frozen=True)
class BroughtFaces:
    """Pictures [B, H, W, 3] with the faces in them, mattes [B, H, W], a line for each picture."""

    images: Tensor
    mattes: Tensor
    report: list[str]


def bring_faces(
    images: Tensor,
    reference: Tensor,
    analyzer: FaceAnalyzer,
    parser: FaceParser,
    mode: str = "laplacian",
    light: float = 1.0,
    max_angle: float = MAX_ANGLE,
    no_face: str = NO_FACE[0],
    progress: Callable[[int, int], None] = lambda done, total: None,
    swapper: Inswapper | None = None,
    who: str = PERSONS[0],
) -> BroughtFaces:
    """Bring the people of `reference` [1, h, w, C] over the faces that the analyzer finds in
    pictures [B, H, W, C], by warping or by a swapper's network; `who` is one of PERSONS.

    Pictures without a face stay as they are, or are refused. Raises ValueError for a reference
    without a face, an analyzer without landmarks, and as `bring_face`.
    """
    pictures = split_alpha(as_image(images, "image"))[0].cpu()
    other = split_alpha(as_image(reference, "reference"))[0][0].cpu()
    require_choice("person", who, PERSONS)
    people = _people(other, analyzer, parser, only_largest=who == PERSONS[0])
    if swapper is not None and analyzer.embedding_size != DIMENSIONS:
        raise ValueError(
            f"{swapper.name} needs the person as ArcFace's {DIMENSIONS} numbers, and "
            f"{analyzer.name} gives {analyzer.embedding_size or 'none'}. Choose an InsightFace "
            "pack such as buffalo_l in Load Face Analyzer."
        )
    results, mattes, report = [], [], []
    for number, picture in enumerate(pictures):
        progress(number, len(pictures))
        faces = [found for found in analyzer.find(picture) if found.landmarks is not None]
        if not faces and no_face == "error":
            raise ValueError(f"{analyzer.name} finds no face with landmarks in picture {number}.")
        result, matte, said = picture, torch.zeros(picture.shape[:2]), []
        # Glasses and what else hides the face stay before it.
        marked = _marked(picture, parser, expand_parts(["face"]) - {"glasses"}) if faces else matte
        for found in faces:
            person = _nearest(people, found, picture) if who != PERSONS[0] else people[0]
            if person is None:
                said.append("nobody in the same place of the reference, left as it is")
                continue
            mask = _mask_at(marked, found)
            if swapper is None:
                brought = bring_face(
                    result, found.landmarks, mask, other, person.face.landmarks, person.parts,
                    mode, light, max_angle,
                )  # fmt: skip
            else:
                brought = swap_face(
                    result, found.landmarks, mask, swapper, person.vector, FACE_TEMPLATE, SIZE,
                    mode, light,
                )  # fmt: skip
            likeness = _compare(analyzer, picture, brought.image, found.landmarks, person.vector)
            yaw, pitch = brought.angles
            said.append(f"{likeness}, turned by {yaw:+.0f} and {pitch:+.0f} degrees")
            result, matte = brought.image, torch.maximum(matte, brought.matte)
        results.append(result)
        mattes.append(matte)
        report.append(f"picture {number}: " + ("; ".join(said) or "no face, left as it is"))
    progress(len(pictures), len(pictures))
    return BroughtFaces(torch.stack(results), torch.stack(mattes), report)


@dataclass(frozen=True)
class _Person:
    """A face of the reference; its vector [D], if the analyzer gives one; its own parts [H, W].

    place: the middle of its box, as fractions of the picture.
    """

    face: FoundFace
    vector: Tensor | None
    parts: Tensor
    place: Tensor


def _people(
    picture: Tensor, analyzer: FaceAnalyzer, parser: FaceParser, only_largest: bool
) -> list[_Person]:
    """The people of the reference; raises ValueError where there is none."""
    faces = [face for face in analyzer.find(picture) if face.landmarks is not None]
    if not faces:
        raise ValueError(
            f"{analyzer.name} finds no face with landmarks in the reference. Take a picture in "
            "which the face is larger and seen from the front, or another analyzer."
        )
    people, marked = [], _marked(picture, parser, expand_parts(["face"]))
    for face in [max(faces, key=size_of)] if only_largest else faces:
        known = analyzer.embed(picture, [face.landmarks])[0] if analyzer.embedding_size else None
        people.append(_Person(face, known, _mask_at(marked, face), _place(face, picture)))
    return people


def _place(face: FoundFace, picture: Tensor) -> Tensor:
    x, y, width, height = face.box
    return torch.tensor([(x + width / 2) / picture.shape[1], (y + height / 2) / picture.shape[0]])


def _nearest(people: list[_Person], face: FoundFace, picture: Tensor) -> _Person | None:
    """Who is in the same place: nearer than half of the face's size; None if nobody is."""
    size = torch.tensor([face.box[2] / picture.shape[1], face.box[3] / picture.shape[0]])
    away = [((p.place - _place(face, picture)) / size).abs().max().item() for p in people]
    return people[away.index(min(away))] if min(away) < 0.5 else None


def _marked(picture: Tensor, parser: FaceParser, parts: frozenset[str]) -> Tensor:
    """The parts [H, W] of all faces of a picture [H, W, 3]."""
    return face_mask(picture.unsqueeze(0), parser, parts, fill_holes=False).mask[0].cpu()


def _mask_at(mask: Tensor, face: FoundFace) -> Tensor:
    """The part of a mask [H, W] of faces that is near one of them."""
    rows, columns = (torch.arange(side) for side in mask.shape)
    landmarks: Tensor = face.landmarks  # faces without them were left out
    x, y = landmarks.float().mean(0)
    away = (rows.unsqueeze(1) - y).square() + (columns - x).square()
    return mask * (away < (REACH * face_scale(landmarks)) ** 2)


def _compare(
    analyzer: FaceAnalyzer, before: Tensor, after: Tensor, landmarks: Tensor, person: Tensor | None
) -> str:
    """Cosines of the face at the landmarks with the person's embedding [D], before and after."""
    if person is None:
        return "likeness not measured"
    was, now = (float(analyzer.embed(p, [landmarks])[0] @ person) for p in (before, after))
    return f"likeness {was:.2f} before, {now:.2f} after"
