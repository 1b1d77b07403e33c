"""Backgrounds: gradients, clouds and crops of photographs without people."""

from functools import lru_cache

import cv2
import numpy as np
from skimage import data

from .canvas import rgb
from .circumstance import Circumstance
from .fields import cloud, sample

# Photographs of scikit-image without people.
PHOTOGRAPHS = (
    "brick",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "moon",
    "motorcycle_left",
    "rocket",
    "coins",
    "clock",
)


@lru_cache(maxsize=1)
def photographs() -> tuple[np.ndarray, ...]:
    """The photographs as linear float32 [h, w, 3], about 400 px high."""
    loaded = []
    for name in PHOTOGRAPHS:
        if name == "motorcycle_left":
            image = data.stereo_motorcycle()[0]
        else:
            image = getattr(data, name)()
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        image = cv2.resize(image[..., :3], (560, 420), interpolation=cv2.INTER_AREA)
        loaded.append((image.astype(np.float32) / 255.0) ** 2)
    return tuple(loaded)


def paint_background(now: Circumstance, width: int) -> np.ndarray:
    """Paint the background in linear colour [3, width, width]."""
    rng = np.random.default_rng([0xBAC, now.seed])
    first = rng.uniform(0.1, 0.95, 3).astype(np.float32)
    vivid = np.float32(0.55 if rng.random() < 0.3 else 0.22)
    first = first * vivid + first.mean() * (1 - vivid)
    second = np.clip(first * rng.uniform(0.45, 1.5) + rng.normal(0, 0.05, 3), 0.03, 1).astype(
        np.float32
    )
    first, second = rgb(*(first * first)), rgb(*(second * second))
    axis = np.linspace(-1, 1, width, dtype=np.float32)
    if now.background == "photo":
        return _photograph(now, rng, width)
    if now.background == "plain":
        return np.broadcast_to(first, (3, width, width)).copy()
    if now.background == "gradient":
        if rng.random() < 0.5:
            cx, cy = rng.uniform(-0.5, 0.5, 2)
            mix = np.sqrt((axis[None, :] - cx) ** 2 + (axis[:, None] - cy) ** 2) * 0.7
        else:
            angle = rng.uniform(0, 2 * np.pi)
            mix = 0.5 + 0.5 * (axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle))
    else:
        zoom, ox, oy = rng.uniform(40, 150), *rng.uniform(0, 500, 2)
        ones = np.ones((width, width), np.float32)
        mix = 0.5 + 0.3 * sample(
            cloud(91, 1.7), axis[None, :] * zoom * ones + ox, axis[:, None] * zoom * ones + oy
        )
    return first + np.clip(mix, 0, 1).astype(np.float32) * (second - first)


def _photograph(now: Circumstance, rng: np.random.Generator, width: int) -> np.ndarray:
    source = photographs()[int(rng.integers(len(PHOTOGRAPHS)))]
    side = int(rng.uniform(0.4, 1.0) * min(source.shape[:2]))
    top = int(rng.integers(source.shape[0] - side + 1))
    left = int(rng.integers(source.shape[1] - side + 1))
    crop = source[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    gain = np.float32(rng.uniform(0.6, 1.2)) * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    amount = max(now.background_blur - 0.3, 0.0)
    small = 160
    if amount > 0:
        crop = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        crop = cv2.GaussianBlur(crop, (0, 0), 0.5 + 9.0 * amount * amount)
    crop = cv2.resize(crop, (width, width), interpolation=cv2.INTER_LINEAR)
    return np.stack(cv2.split(crop)) * rgb(*gain)
