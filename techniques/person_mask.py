"""The whole person: what the parser sees of head and collar, grown to the body by GrabCut.

The parser knows the square around a head. Where a body may be below it, GrabCut decides by colour:
the head is sure to be the person, what is far from head and body is not, and between them lies a
guess, a figure that widens from the chin to the shoulders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_classes import CLASSES
from ..models.face_parser import FaceParser
from ..models.user_input import require_choice
from .face_finding import Face, find_faces
from .face_mask import Cleaning, NoFace, Which, choose_faces, missing_face, parse_faces
from .face_squares import Box
from .grab_cut import cut
from .region_overlay import draw_regions
from .shapes import as_image, split_alpha

EVERY_PART = Cleaning(frozenset(CLASSES[1:]), fill_holes=True, largest_component=True)
# The cut takes time, and colours that lie far apart mislead it more in a larger picture.
LONGEST_SIDE = 384
# All lengths are fractions of the face's size. The body's half width at the neck, the shoulders and
# the elbows, and how far below the chin they are.
HALF_WIDTH = (0.8, 1.7, 2.4)
BELOW_CHIN = (-0.3, 0.9, 2.5)
# How far it may reach beyond that guess, and hair or a hat above the face.
REACH, ABOVE = 1.35, 0.9
# The parser's edge is no surer than this.
DOUBT = 0.06
# A gap in the person smaller than this fraction of the picture is a badge or a button.
MAX_GAP = 0.01


@dataclass(frozen=True)
class PersonMask:
    """The mask [B, H, W], 0 or 1, the boxes (x, y, width, height) of the faces of each picture's
    persons in pixels, and an overlay [B, h, w, 3].
    """

    mask: Tensor
    boxes: list[list[Box]]
    overlay: Tensor


def person_mask(
    image: Tensor,
    parser: FaceParser,
    which: Which = "all",
    index: int = 0,
    no_face: NoFace = "empty",
    progress: Callable[[int, int], None] | None = None,
) -> PersonMask:
    """Mask the persons whose faces are found in pictures [B, H, W, C], head and body.

    The choices are those of `face_mask`. Raises ValueError for unknown ones, and with `no_face`
    "error" for a picture without a chosen face.
    """
    require_choice("which", which, ("all", "largest", "index"))
    require_choice("no_face", no_face, ("empty", "error", "full"))
    pictures, _ = split_alpha(as_image(image))
    masks, boxes, overlays = [], [], []
    for number, picture in enumerate(pictures):
        faces = find_faces(picture, parser)
        chosen = choose_faces(faces, which, index)
        if not chosen and no_face == "error":
            raise ValueError(missing_face(number, len(pictures), picture, faces, which, index))
        mask = _persons(picture, parser, faces, chosen)
        if not chosen and no_face == "full":
            mask = torch.ones_like(mask)
        masks.append(mask)
        boxes.append([faces[k].box for k in chosen])
        overlays.append(draw_regions(picture, mask[None], ["person"], ["blue"]))
        if progress is not None:
            progress(number + 1, len(pictures))
    return PersonMask(torch.stack(masks), boxes, torch.stack(overlays))


def _persons(
    picture: Tensor, parser: FaceParser, faces: Sequence[Face], chosen: Sequence[int]
) -> Tensor:
    """The chosen persons [H, W] of a picture [H, W, 3]."""
    height, width = picture.shape[:2]
    if not chosen:
        return picture.new_zeros(height, width)
    heads, _ = parse_faces(picture, parser, chosen, faces, EVERY_PART)
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    layers = torch.cat([picture, heads[..., None]], dim=-1).movedim(-1, 0)[None]
    small = F.interpolate(layers, size, mode="area")[0].movedim(0, -1)
    head = small[..., 3].detach().cpu().numpy()
    labels = _guess(head, [_scaled(face, scale) for face in faces], chosen)
    found = _closed(_joined_to(cut(small[..., :3], labels), head > 0.5))
    mask = torch.from_numpy(found.astype(np.float32)).to(picture)[None, None]
    return (F.interpolate(mask, (height, width), mode="bilinear")[0, 0] > 0.5).float()


def _scaled(face: Face, scale: float) -> Face:
    x, y, width, height = (round(value * scale) for value in face.box)
    return Face((x, y, max(1, width), max(1, height)), face.score, face.turns)


def _guess(head: np.ndarray, faces: Sequence[Face], chosen: Sequence[int]) -> np.ndarray:
    """GrabCut's classes for a picture in which the parser sees heads [H, W], 0 to 1."""
    likely, possible = np.zeros_like(head, dtype=bool), np.zeros_like(head, dtype=bool)
    for k in chosen:
        body, around = _body(head.shape, faces[k])
        likely |= body
        possible |= around
    size = min(max(faces[k].box[2:]) for k in chosen)
    doubt = 2 * round(DOUBT * size) + 1
    inside = cv2.erode((head > 0.5).astype(np.uint8), np.ones((doubt, doubt), np.uint8)) > 0
    labels = np.where(possible, cv2.GC_PR_BGD, cv2.GC_BGD)
    labels[likely | (head > 0.3)] = cv2.GC_PR_FGD
    for k, face in enumerate(faces):
        if k not in chosen:
            x, y, width, height = face.box
            labels[y : y + height, x : x + width] = cv2.GC_BGD
            labels[_body(head.shape, face)[0] & ~likely] = cv2.GC_BGD
    labels[inside] = cv2.GC_FGD
    return labels


def _body(shape: tuple[int, ...], face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Where a person's body should be, and where it may be, bool [H, W] each."""
    x, y, width, height = face.box
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    down, across = rows - (y + height / 2), columns - (x + width / 2)
    for _ in range(face.turns):  # the picture's quarter turns until the face is upright
        down, across = -across, down
    if face.turns % 2:
        width, height = height, width
    size = max(width, 0.75 * height)
    below = (down - height / 2) / size
    half = size * np.interp(below, BELOW_CHIN, HALF_WIDTH)
    body = (np.abs(across) < half) & (below > 0)
    around = (np.abs(across) < REACH * half) & (down > -height * (0.5 + ABOVE))
    return body, around


def _joined_to(found: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The components of a mask [H, W] that touch a head."""
    smooth = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, components = cv2.connectedComponents(smooth)
    touching = np.unique(components[head & (smooth > 0)])
    return np.isin(components, touching[touching > 0])


def _closed(found: np.ndarray) -> np.ndarray:
    """The mask [H, W] without small gaps; those in a corner of the picture stay."""
    _, components, table, _ = cv2.connectedComponentsWithStats((~found).astype(np.uint8))
    height, width = found.shape
    for number, (x, y, wide, high, area) in enumerate(table):
        sides = (x == 0) + (y == 0) + (x + wide == width) + (y + high == height)
        if number and sides < 2 and area < MAX_GAP * found.size:
            found = found | (components == number)
    return found
