"""The face mask: chosen parts of chosen faces, from the parser's probabilities.

Each face is cut out with its surroundings, parsed at the parser's own size and put back at its
place, so a small face in a large photograph gets as many parser pixels as a portrait. The binary
mask is the union of the chosen classes at probability 0.5; the soft one keeps the probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_classes import CLASSES, COLOURS, PRESETS, expand_parts
from ..models.face_parser import FaceParser
from ..models.user_input import require_choice
from .face_finding import Face, find_faces
from .face_overlay import draw_overlay
from .face_squares import (
    Box,
    Square,
    box_in_square,
    class_fraction,
    component_in,
    cut_squares,
    square_around,
)
from .shapes import as_image, split_alpha

Which = Literal["all", "largest", "index"]
NoFace = Literal["empty", "error", "full"]

# Probabilities from here on count as certain.
SURE = 0.95
# Side of the wide square in sizes of the face, and width of the soft edge of the close square as a
# fraction of its side.
WIDE_CONTEXT = 1.6
FEATHER = 0.1
# Classes that connect a face to its surroundings, to decide what belongs to the same person.
_CONNECTING = ("left_ear", "right_ear", "neck", "hair")


@dataclass(frozen=True)
class FaceMask:
    """The mask [B, H, W], the boxes (x, y, width, height) of the masked faces of each picture in
    pixels, each picture's masked fraction, the overlay [B, h, w, 3] that shows all this, and the
    label picture [B, H, W, 3]: each masked pixel in its part's colour, and black elsewhere.
    """

    mask: Tensor
    boxes: list[list[Box]]
    area_share: list[float]
    overlay: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Cleaning:
    """The classes to mark, and what is done about gaps and specks; see `face_mask`."""

    parts: frozenset[str]
    fill_holes: bool
    largest_component: bool


def face_mask(
    image: Tensor,
    parser: FaceParser,
    parts: Iterable[str],
    which: Which = "all",
    index: int = 0,
    soft: bool = False,
    fill_holes: bool = True,
    largest_component: bool = True,
    no_face: NoFace = "empty",
    progress: Callable[[int, int], None] | None = None,
) -> FaceMask:
    """Mask parts of the faces of every picture [B, H, W, C] of a batch.

    `parts` mixes names of presets and classes. Faces are numbered from 0, left to right, and
    `index` is used where `which` is "index". `largest_component` drops what is not connected to the
    face; `fill_holes` closes gaps, but leaves parts of the face open that were not chosen.
    `no_face` is the result for a picture without a chosen face. `progress(done, total)` is called
    along the way.

    Raises ValueError for unknown choices, and with "error" for a picture without a chosen face.
    """
    require_choice("which", which, ("all", "largest", "index"))
    require_choice("no_face", no_face, ("empty", "error", "full"))
    cleaning = Cleaning(expand_parts(parts), fill_holes, largest_component)
    pictures, _ = split_alpha(as_image(image))
    masks, boxes, overlays, labels = [], [], [], []
    for number, picture in enumerate(pictures):
        faces = find_faces(picture, parser)
        _report(progress, 2 * number + 1, 2 * len(pictures))
        chosen = choose_faces(faces, which, index)
        if not chosen and no_face == "error":
            raise ValueError(missing_face(number, len(pictures), picture, faces, which, index))
        values, colours = parse_faces(picture, parser, chosen, faces, cleaning)
        if not chosen and no_face == "full":
            values = torch.ones_like(values)
        mask = values if soft else (values > 0.5).float()
        masks.append(mask)
        boxes.append([faces[k].box for k in chosen])
        labels.append(label_picture(colours, mask, cleaning.parts))
        overlays.append(
            draw_overlay(picture, mask, colours, [f.box for f in faces], chosen, cleaning.parts)
        )
        _report(progress, 2 * number + 2, 2 * len(pictures))
    mask = torch.stack(masks)
    areas = mask.mean(dim=(1, 2)).tolist()
    return FaceMask(mask, boxes, areas, torch.stack(overlays), torch.stack(labels))


def label_picture(colours: Tensor, mask: Tensor, parts: Iterable[str]) -> Tensor:
    """The legend's colours, without mixtures, where a mask [H, W] is over a half; black elsewhere.

    `colours` [H, W, 3] may be mixtures: each pixel gets the nearest colour of the `parts`.
    """
    palette = colours.new_tensor([COLOURS[part] for part in CLASSES if part in parts]) / 255
    shown = mask > 0.5
    labels = torch.zeros_like(colours)
    # One colour at a time: all distances at once would be 19 pictures.
    mixtures = colours[shown]
    nearest = torch.zeros_like(mixtures)
    best = mixtures.new_full((len(mixtures),), torch.inf)
    for colour in palette:
        distance = (mixtures - colour).square().sum(dim=-1)
        nearest[distance < best] = colour
        best = torch.minimum(best, distance)
    labels[shown] = nearest
    return labels


def _report(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def choose_faces(faces: Sequence[Face], which: Which, index: int) -> list[int]:
    """The numbers of the wanted faces."""
    numbers = range(len(faces))
    if which == "largest":
        return [max(numbers, key=lambda k: faces[k].box[2] * faces[k].box[3])] if faces else []
    return [k for k in numbers if which == "all" or k == index]


def missing_face(
    number: int, total: int, picture: Tensor, faces: Sequence[Face], which: Which, index: int
) -> str:
    """Says that a picture [H, W, C] has no such face."""
    height, width = picture.shape[:2]
    where = f"picture {number + 1} of {total} ({width} x {height} px)"
    if faces and which == "index":
        return (
            f"Face {index} is not in {where}: it has {len(faces)}, numbered 0 to "
            f"{len(faces) - 1} from left to right."
        )
    return (
        f"No face was found in {where}. Choose another picture, another face parser, or another "
        "answer than an error for pictures without a face."
    )


def parse_faces(
    picture: Tensor,
    parser: FaceParser,
    chosen: Sequence[int],
    faces: Sequence[Face],
    cleaning: Cleaning,
) -> tuple[Tensor, Tensor]:
    """Return the chosen parts' probability [H, W] and overlay colours [H, W, 3] of a picture."""
    height, width = picture.shape[:2]
    values = picture.new_zeros(height, width)
    colours = picture.new_zeros(height, width, 3)
    if not chosen:
        return values, colours
    for k, (probabilities, square) in zip(
        chosen, _look_at(picture, parser, [faces[k] for k in chosen], cleaning.parts), strict=True
    ):
        inner = [box_in_square(f.box, square, len(probabilities[0])) for f in faces]
        part = _clean(probabilities, inner[k], inner[:k] + inner[k + 1 :], cleaning)
        layers = np.concatenate((part[None], _class_colours(probabilities, cleaning.parts)))
        _paste(values, colours, torch.from_numpy(layers).to(picture), square)
    return values, colours


def _look_at(
    picture: Tensor, parser: FaceParser, faces: Sequence[Face], parts: frozenset[str]
) -> Iterator[tuple[np.ndarray, Square]]:
    """Parse each face: probabilities [19, S, S] and the square of the picture that they show.

    Hair, clothes and the like reach far beyond the face, so for them each face is parsed a second
    time with wide surroundings, and the close look laid into the wide one.
    """
    size = picture.shape[:2]
    only_face = parts <= frozenset(PRESETS["face"])
    for face in faces:
        near = square_around(face.box, *size)
        if only_face:
            yield _parse(picture, parser, [near], face.turns)[0], near
            continue
        far = square_around(face.box, *size, WIDE_CONTEXT)
        close, wide = _parse(picture, parser, [near, far], face.turns)
        yield _laid_into(wide, far, close, near), far


def _parse(
    picture: Tensor, parser: FaceParser, squares: Sequence[Square], turns: int
) -> np.ndarray:
    """Probabilities [N, 19, S, S] of squares, each turned upright for the parser."""
    cut = torch.rot90(cut_squares(picture, squares, parser.input_size), turns, (1, 2))
    return torch.rot90(parser.parse_squares(cut), -turns, (2, 3)).cpu().numpy()


def _laid_into(
    wide: np.ndarray, wide_square: Square, close: np.ndarray, close_square: Square
) -> np.ndarray:
    """Lay a close look [C, S, S] into a wide one with soft edges, at the close one's resolution."""
    size = close.shape[1]
    scale = size / close_square.side
    whole = round(wide_square.side * scale)
    canvas = np.stack([cv2.resize(plane, (whole, whole)) for plane in wide])
    left = min(max(round((close_square.left - wide_square.left) * scale), 0), whole - size)
    top = min(max(round((close_square.top - wide_square.top) * scale), 0), whole - size)
    ramp = ((0.5 + np.arange(size)) / (FEATHER * size)).clip(0, 1).astype(np.float32)
    ramp = np.minimum(ramp, ramp[::-1])
    weight = np.minimum(ramp[:, None], ramp[None, :])
    part = canvas[:, top : top + size, left : left + size]
    part += weight * (close - part)
    return canvas


def _clean(
    probabilities: np.ndarray, box: Box, other_boxes: Sequence[Box], cleaning: Cleaning
) -> np.ndarray:
    """Return the chosen parts' probability [S, S] of the one face in the box."""
    parts = cleaning.parts
    face = frozenset(PRESETS["face"])
    # Doubt at either end is cut off, so that the background is exactly 0 and the inside 1.
    values = _stretch(class_fraction(probabilities, sorted(parts)))
    values[_inside_others(values.shape, box, other_boxes)] = 0
    if cleaning.largest_component:
        joined = face | parts | (frozenset() if parts <= face else frozenset(_CONNECTING))
        values *= _same_person(_stretch(class_fraction(probabilities, sorted(joined))), box)
    if cleaning.fill_holes:
        left_out = _stretch(class_fraction(probabilities, sorted(face - parts)))
        values = np.maximum(values, np.minimum(_filled(values), 1 - left_out))
    return values


def _stretch(fraction: np.ndarray) -> np.ndarray:
    return ((fraction - (1 - SURE)) / (2 * SURE - 1)).clip(0, 1).astype(np.float32)


def _inside_others(shape: tuple[int, ...], box: Box, other_boxes: Sequence[Box]) -> np.ndarray:
    """Return where [S, S] the boxes of other faces are and this face's box is not."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5

    def inside(b: Box) -> np.ndarray:
        across = (b[0] <= columns) & (columns < b[0] + b[2])
        return across & (b[1] <= rows) & (rows < b[1] + b[3])

    others = np.zeros(shape, dtype=bool)
    for other in other_boxes:
        others |= inside(other)
    return others & ~inside(box)


def _same_person(support: np.ndarray, box: Box) -> np.ndarray:
    """Return where [S, S] a soft map belongs to the component that fills the box."""
    certain = support > 0.5
    body = component_in(certain, box)
    stray = certain & ~body
    belongs = component_in(support > 0, box) if body.any() else body
    if not stray.any():
        return belongs
    # The faint surroundings of either go with the nearer one.
    to_body, to_stray = (
        cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 3) for part in (body, stray)
    )
    return belongs & (to_body <= to_stray)


def _filled(values: np.ndarray) -> np.ndarray:
    """Raise every hollow of a map [S, S] to the lowest point of the rim around it."""
    # Imported late: scikit-image takes a while to load and few functions need it.
    from skimage.morphology import reconstruction

    seed = np.full_like(values, values.max())
    seed[[0, -1], :] = values[[0, -1], :]
    seed[:, [0, -1]] = values[:, [0, -1]]
    return reconstruction(seed, values, method="erosion").astype(np.float32)


def _class_colours(probabilities: np.ndarray, parts: frozenset[str]) -> np.ndarray:
    """Return the mean legend colour [3, S, S] of the chosen parts, weighed by probability."""
    indices = [k for k, name in enumerate(CLASSES) if name in parts]
    palette = np.array([COLOURS[CLASSES[k]] for k in indices], dtype=np.float32) / 255
    weights = probabilities[indices] + 1e-4
    return np.einsum("khw,kc->chw", weights / weights.sum(axis=0), palette)


def _paste(values: Tensor, colours: Tensor, layers: Tensor, square: Square) -> None:
    """Put layers [4, S, S] of a parsed square back into a picture, where they are the larger."""
    height, width = values.shape
    at_size = F.interpolate(
        layers[None], (square.side, square.side), mode="bilinear", antialias=True
    )[0]
    top, left = max(0, square.top), max(0, square.left)
    bottom, right = min(height, square.top + square.side), min(width, square.left + square.side)
    part = at_size[:, top - square.top : bottom - square.top, left - square.left :]
    part = part[:, :, : right - left]
    region = (slice(top, bottom), slice(left, right))
    larger = part[0] > values[region]
    values[region] = torch.where(larger, part[0], values[region])
    colours[region] = torch.where(larger[..., None], part[1:].movedim(0, -1), colours[region])
