"""The faces in a soft mask: its connected parts, each cut off at half of its own peak.

A blur lowers small parts more than large ones: a face of 60 px has a peak of 0.36 under a sigma of
32 px. So a fixed threshold loses small faces, and masks that were painted faintly.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

MIN_FRACTION = 0.0002  # of the picture's area
MIN_SIDE = 8  # pixels
FIRST = 0.5
STEPS_TO_FAINTEST = 4
STEP = 2**-0.5

Rectangle = tuple[float, float, float, float]


def faces_of(mask: Tensor, boxes: list[Rectangle] | None) -> tuple[list[Rectangle], Tensor]:
    """Rectangles of the faces in a mask [H, W], and for each pixel the number of its face.

    Faces are numbered from 1; 0 is nobody's. Pixels outside the parts of the mask belong to the
    nearest part, so that soft edges have an owner too.
    """
    labels = label_parts(mask.cpu().numpy())
    parts = int(labels.max()) + 1
    if boxes is None:
        rectangles, number = _faces_of_parts(labels, parts, MIN_FRACTION * labels.size)
    else:
        rectangles, number = boxes, _owners_of_parts(labels, parts, boxes)
    if not rectangles:
        rectangles, number = [(0, 0, *labels.shape[::-1])], np.zeros(parts, np.int32)
    return rectangles, torch.from_numpy(number[_nearest_part(labels)]).to(mask.device)


def require_boxes(boxes: list[list[Rectangle]], batch: int) -> None:
    """Raise ValueError unless there is a list of (x, y, width, height) for each picture."""
    if len(boxes) != batch:
        raise ValueError(f"boxes are for {len(boxes)} pictures but there are {batch}.")
    for rectangles in boxes:
        for box in rectangles:
            if np.shape(box) != (4,) or not min(box[2:]) > 0:
                raise ValueError(
                    f"A box is {box}; expected, for each picture, a list of (x, y, width, height) "
                    "in pixels with a width and a height above 0."
                )


def without_holes(inside: np.ndarray) -> np.ndarray:
    """Fill the holes of a boolean map [H, W]."""
    plane = inside.astype(np.uint8)
    outlines, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(plane), outlines, -1, 1, cv2.FILLED) > 0


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Numbers [H, W] from 1 for the parts of a mask [H, W] in 0..1; 0 is outside of all.

    The threshold falls from one half to an eighth, and a part begins where it first falls below the
    mask. A part that peaks above 0.7 is what is connected above one half; a lower one ends at 0.5
    to 0.7 of its peak, or higher up where it would grow together with another. Values below an
    eighth count only if the whole mask is below it.
    """
    peak = float(mask.max())
    first = FIRST if peak > FIRST * STEP**STEPS_TO_FAINTEST else peak / 2
    labels = np.zeros(mask.shape, np.int32)
    growing: dict[int, int] = {}
    for step in range(STEPS_TO_FAINTEST + 1):
        above = (mask > first * STEP**step).astype(np.uint8)
        count, regions = cv2.connectedComponents(above, connectivity=8)
        labelled = labels > 0
        known = np.bincount(regions[labelled], minlength=count)
        number = _grown(regions, labels, known, growing)
        fresh = np.flatnonzero(known[1:] == 0) + 1
        begins = int(labels.max()) + 1
        number[fresh] = np.arange(begins, begins + len(fresh))
        labels = np.where(labelled, labels, number[regions])
        growing = _low_parts(mask, labels, begins, first * STEP ** (step - 1))
    return labels


def _grown(
    regions: np.ndarray, labels: np.ndarray, known: np.ndarray, growing: dict[int, int]
) -> np.ndarray:
    """For each region the number of the part that alone reaches into it and may grow; else 0."""
    number = np.zeros(len(known), np.int32)
    sizes = np.bincount(labels.ravel())
    for part, pixel in growing.items():
        region = regions.flat[pixel]
        if known[region] == sizes[part]:
            number[region] = part
    return number


def _low_parts(mask: np.ndarray, labels: np.ndarray, begins: int, highest: float) -> dict[int, int]:
    """The index of one pixel of each part from number `begins` on that peaks at `highest` or lower,
    and so has room to grow."""
    pixels = np.flatnonzero(labels >= begins)
    parts, first, inverse = np.unique(labels.flat[pixels], return_index=True, return_inverse=True)
    peaks = np.zeros(len(parts), mask.dtype)
    np.maximum.at(peaks, inverse, mask.flat[pixels])
    return {
        int(part): int(pixels[place])
        for part, place, peak in zip(parts, first, peaks, strict=True)
        if peak <= highest
    }


def _faces_of_parts(
    labels: np.ndarray, parts: int, smallest_area: float
) -> tuple[list[Rectangle], np.ndarray]:
    """Rectangles of the parts that are large enough, left to right, and each part's number."""
    areas = np.bincount(labels.ravel(), minlength=parts)
    found = []
    for part in np.flatnonzero(areas[1:] >= smallest_area) + 1:
        x, y, width, height = cv2.boundingRect((labels == part).view(np.uint8))
        if max(width, height) >= MIN_SIDE:
            found.append(((x, y, width, height), part))
    found.sort(key=lambda face: face[0][0])
    number = np.zeros(parts, np.int32)
    number[[part for _, part in found]] = np.arange(1, len(found) + 1)
    return [rectangle for rectangle, _ in found], number


def _owners_of_parts(labels: np.ndarray, parts: int, boxes: list[Rectangle]) -> np.ndarray:
    """For each part the number of the box that holds most of it; 0 where no box touches it."""
    pixels = np.zeros((1 + len(boxes), parts), np.int64)
    for number, (x, y, width, height) in enumerate(boxes, start=1):
        top, bottom, left, right = (max(round(v), 0) for v in (y, y + height, x, x + width))
        pixels[number] = np.bincount(labels[top:bottom, left:right].ravel(), minlength=parts)
    return pixels.argmax(0) * (np.arange(parts) > 0)


def _nearest_part(labels: np.ndarray) -> np.ndarray:
    """For each pixel the number of the nearest part."""
    if not labels.any():
        return labels
    _, cells = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    part_of_cell = np.zeros(cells.max() + 1, labels.dtype)
    part_of_cell[cells[labels > 0]] = labels[labels > 0]
    return part_of_cell[cells]
