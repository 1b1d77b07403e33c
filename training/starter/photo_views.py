"""Views of photographs for the UNet: a face with surroundings, as cut by Crop Faces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ...models.face_parser import FaceParser
from .augment import jitter_colour, mirror_labels
from .inpainting import PARTS
from .photographs import Photograph

MAP_SIZE = 256
# Context around the face as fractions of its longer side: least, usual and most in Crop Faces.
CONTEXT = (0.4, 0.8, 1.2)


def face_maps(
    photographs: Sequence[Photograph], parser: FaceParser, path: Path
) -> dict[str, np.ndarray]:
    """Parse each photograph; return maps uint8 [256, 256] by file name, kept in `path`."""
    kept: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files}
    missing = [photo for photo in photographs if photo.file not in kept]
    for photo in tqdm(missing, desc="parse photographs", mininterval=5):
        square = cv2.resize(photo.image, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(square).float()[None] / 255
        kept[photo.file] = parser.parse_squares(image, MAP_SIZE)[0].argmax(0).byte().numpy()
    if missing:
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            np.savez_compressed(file, **kept)
        os.replace(temporary, path)
    return {photo.file: kept[photo.file] for photo in photographs}


def face_rectangle(labels: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, width and height of the largest face in a map [H, W], as fractions of its size.

    A map without a face gives the middle of the picture.
    """
    face = np.isin(labels, PARTS["face"]).astype(np.uint8)
    _, _, table, _ = cv2.connectedComponentsWithStats(face, connectivity=8)
    height, width = labels.shape
    if len(table) < 2 or table[1:, cv2.CC_STAT_AREA].max() < 0.01 * height * width:
        return 0.25, 0.25, 0.5, 0.5
    x, y, w, h, _ = table[1 + table[1:, cv2.CC_STAT_AREA].argmax()]
    return x / width, y / height, w / width, h / height


def photo_view(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a view of a photograph [H, W, 3] around its face, and the same part of its map [h, w].

    The square is larger than the face by a random context, and randomly moved, turned and mirrored;
    light and colour change a little. Both results are [size, size]; the border repeats.
    """
    height, width = image.shape[:2]
    x, y, w, h = np.multiply(face_rectangle(labels), (width, height, width, height))
    side = (1 + rng.triangular(*CONTEXT)) * max(w, h)
    side = float(np.clip(side, 48, max(height, width)))
    middle = np.array([x + w / 2, y + h / 2]) + rng.normal(0, 0.03, 2) * side
    # Move the square into the picture if it fits.
    for axis, limit in enumerate((width, height)):
        low, high = min(side / 2, limit / 2), max(limit - side / 2, limit / 2)
        middle[axis] = np.clip(middle[axis], low, high)
    scale = size / side
    if scale < 1:  # shrink by area first: warpAffine would skip pixels
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        middle, scale = middle * scale, 1.0
    labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    turn = float(np.clip(rng.normal(0, 5), -12, 12))
    matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), turn, scale)
    matrix[:, 2] += size / 2 - middle
    view, classes = (
        cv2.warpAffine(values, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for values, flags in ((image, cv2.INTER_LINEAR), (labels, cv2.INTER_NEAREST))
    )
    if rng.random() < 0.5:
        view, classes = np.ascontiguousarray(view[:, ::-1]), mirror_labels(classes)
    view = jitter_colour(view.astype(np.float32) / 255, rng, 0.2)
    return (view * 255).round().astype(np.uint8), classes
