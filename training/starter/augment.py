"""Random augmentation of the starter's training pictures, with an explicit generator."""

from __future__ import annotations

import cv2
import numpy as np

MIRROR_PAIRS = ((2, 3), (4, 5), (7, 8))


def mirror_labels(labels: np.ndarray) -> np.ndarray:
    """Return the label map [H, W] mirrored, with left and right parts exchanged."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in MIRROR_PAIRS:
        table[left], table[right] = right, left
    return np.ascontiguousarray(table[labels[:, ::-1]])


def random_crop(picture: np.ndarray, size: int, scale: float, rng: np.random.Generator):
    """Return a random square of `size` pixels out of `picture` [H, W, C] shrunk by `scale`."""
    side = max(size, round(size / scale))
    height, width = picture.shape[:2]
    side = min(side, height, width)
    top = int(rng.integers(0, height - side + 1))
    left = int(rng.integers(0, width - side + 1))
    view = picture[top : top + side, left : left + side]
    if side == size:
        return view
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def jitter_colour(picture: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return float32 `picture` in 0..1 with random changes of light, contrast and colours."""
    picture = picture ** np.float32(np.exp(rng.normal(0, 0.25 * strength)))
    grey = picture.mean(axis=2, keepdims=True)
    saturation = np.float32(np.exp(rng.normal(0, 0.35 * strength)))
    if rng.random() < 0.06 * strength:
        saturation = np.float32(0.0)
    picture = grey + (picture - grey) * saturation
    gain = np.exp(rng.normal(0, 0.10 * strength, 3)).astype(np.float32)
    contrast = np.float32(np.exp(rng.normal(0, 0.2 * strength)))
    shift = np.float32(rng.normal(0, 0.05 * strength))
    middle = picture.mean()
    picture = ((picture - middle) * contrast + middle) * gain + shift
    return np.clip(picture, 0, 1, out=picture)


def degrade(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return float32 `picture` with a photograph's blur, low resolution, noise or compression."""
    size = picture.shape[0]
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.2)))
    if rng.random() < 0.45:
        small = max(24, int(size * rng.uniform(0.2, 0.7)))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        picture = picture + noise * np.float32(rng.uniform(0.005, 0.06))
    if rng.random() < 0.3:
        coded = cv2.imencode(
            ".jpg",
            np.clip(picture * 255, 0, 255).astype(np.uint8),
            [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))],
        )[1]
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.float32) / 255
    return np.clip(picture, 0, 1)
