"""Masks joined as sets, and what an object's own size and box make of them.

Soft masks are joined as Zadeh's fuzzy sets ("Fuzzy Sets", Information and Control 1965): the union
is the larger value, the intersection the smaller one, and A minus B is min(A, 1 - B). For masks of
0 and 1 these are the plain operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.user_input import require_choice
from .mask_parts import Rectangle, label_parts, require_boxes, without_holes
from .shapes import as_mask, fit_mask, match_batch
from .soft_mask import soften_faces

OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "union": torch.maximum,
    "minus": lambda first, second: torch.minimum(first, 1 - second),
    "intersect": torch.minimum,
}
OUTLINES = ("as it is", "without holes", "box")
"""What may become of each connected part of a mask."""


def combine(first: Tensor, second: Tensor, operation: str) -> Tensor:
    """Join two masks [B, H, W] in 0..1; `second` is fitted to the size of `first`.

    Raises ValueError for an unknown operation, and for sizes or batches that do not fit.
    """
    require_choice("operation", operation, OPERATIONS)
    first, second = as_mask(first), as_mask(second, "other")
    second = fit_mask(second.to(first.device), *first.shape[-2:], name="other")
    return OPERATIONS[operation](*match_batch(first, second, "mask", "other"))


def combine_all(
    mask: Tensor | None,
    other: Tensor | None,
    boxes: Sequence[Sequence[Sequence[Rectangle]]],
    operation: str,
    height: int,
    width: int,
) -> Tensor:
    """Join `mask` with the union of `other` and boxes, as a mask [B, height, width].

    boxes: sets of boxes as `mask_of_boxes` takes them. Without one side the other is the result.
    Raises ValueError without either, and as `combine`.
    """
    for drawn in boxes:
        plane = mask_of_boxes(drawn, height, width)
        other = plane if other is None else combine(plane, other, "union")
    if mask is None and other is None:
        raise ValueError(
            "There is nothing to combine: connect mask, other or boxes, or write a box."
        )
    empty = torch.zeros(1, height, width)
    result = combine(empty, other if mask is None else mask, "union")
    if mask is not None and other is not None:
        result = combine(result, other, operation)
    return result


def grow_by_size(mask: Tensor, percent: float) -> Tensor:
    """Grow each object of a mask [B, H, W] by `percent` of its own size; below 0 it shrinks.

    An object is a connected part, its size the root of its box's area.
    """
    return as_mask(mask) if percent == 0 else soften_faces(mask, 0, percent)


def outline(mask: Tensor, shape: str) -> Tensor:
    """Give each object of a mask [B, H, W] another outline, one of OUTLINES.

    Holes are filled with 1; a box is the upright rectangle around an object, filled with its
    largest value.

    Raises ValueError for an unknown shape.
    """
    require_choice("shape", shape, OUTLINES)
    mask = as_mask(mask)
    if shape == OUTLINES[0]:
        return mask
    change = _filled if shape == OUTLINES[1] else _boxed
    planes = [torch.from_numpy(change(plane)) for plane in mask.cpu().numpy()]
    return torch.stack(planes).to(mask.device)


def mask_of_boxes(boxes: Sequence[Sequence[Rectangle]], height: int, width: int) -> Tensor:
    """Draw the boxes (x, y, width, height) in pixels of each picture as a mask [B, H, W].

    Boxes may reach over the picture's border. Raises ValueError for another form.
    """
    require_boxes(list(boxes), len(boxes))
    masks = torch.zeros(len(boxes), height, width)
    for mask, rectangles in zip(masks, boxes, strict=True):
        for x, y, across, down in rectangles:
            top, bottom, left, right = (max(round(v), 0) for v in (y, y + down, x, x + across))
            mask[top:bottom, left:right] = 1
    return masks


def read_boxes(text: str, height: int, width: int) -> list[Rectangle]:
    """Read boxes in pixels from `x, y, width, height` in percent of the picture, `;` between them.

    An empty text has none. Raises ValueError for another form, naming the part that is wrong.
    """
    boxes = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        numbers = [float(n) for n in re.split(r"[\s,]+", part.replace("%", "")) if _is_number(n)]
        if len(numbers) != 4 or re.search(r"[^\d\s,.%+-]", part) or min(numbers[2:]) <= 0:
            raise ValueError(
                f"{part!r} is no box. Write x, y, width, height in percent of the picture, such as "
                "25, 10, 50, 40; several boxes with ; between them."
            )
        x, y, across, down = numbers
        boxes.append((x * width / 100, y * height / 100, across * width / 100, down * height / 100))
    return boxes


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text) is not None


def _filled(plane: np.ndarray) -> np.ndarray:
    inside = plane > 0.5
    return np.where(without_holes(inside) & ~inside, np.float32(1), plane)


def _boxed(plane: np.ndarray) -> np.ndarray:
    labels = label_parts(plane) if plane.any() else np.zeros(plane.shape, np.int32)
    boxes = np.zeros_like(plane)
    for part in range(1, int(labels.max()) + 1):
        own = (labels == part).astype(np.uint8)
        x, y, across, down = cv2.boundingRect(own)
        box = boxes[y : y + down, x : x + across]
        np.maximum(box, plane[own > 0].max(), out=box)
    return boxes
