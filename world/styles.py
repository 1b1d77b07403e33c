"""Painting styles: seeded filters on the finished 8-bit picture."""

import cv2
import numpy as np

from .fields import cloud, grain, sample, strands

STYLES = ("photo", "watercolour", "oil", "pencil", "ink", "mosaic", "poster", "pastel")


def stylise(image: np.ndarray, style: str, seed: int) -> np.ndarray:
    """Return image [S, S, 3] uint8 RGB in a style; "photo" leaves it unchanged."""
    if style == "photo":
        return image
    rng = np.random.default_rng([0x517, seed])
    painted = FILTERS[style](image.astype(np.float32) / 255.0, rng)
    return np.clip(painted * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _texture(kind: np.ndarray, size: int, rng: np.random.Generator, zoom: float) -> np.ndarray:
    """A random piece [size, size] of a texture; zoom = texels across a 128 px picture."""
    ox, oy = rng.uniform(0, 500, 2)
    axis = np.arange(size, dtype=np.float32) * (zoom / size)
    ones = np.ones((size, size), np.float32)
    return sample(kind, axis[None, :] * ones + ox, axis[:, None] * ones + oy)


def _smooth_colours(image: np.ndarray, rounds: int, reach: float) -> np.ndarray:
    """Edge-preserving smoothing (repeated bilateral filter)."""
    radius = max(3, int(reach * image.shape[0] / 128) | 1)
    for _ in range(rounds):
        image = cv2.bilateralFilter(image, radius, 0.10, radius * 0.6)
    return image


def _grey(image: np.ndarray) -> np.ndarray:
    return image @ np.float32([0.299, 0.587, 0.114])


def _edges(grey: np.ndarray, sigma: float) -> np.ndarray:
    """Difference-of-Gaussians lines: 0 on a line, 1 elsewhere."""
    scale = grey.shape[0] / 128
    fine = cv2.GaussianBlur(grey, (0, 0), sigma * scale)
    coarse = cv2.GaussianBlur(grey, (0, 0), 1.6 * sigma * scale)
    return np.clip(1.0 + 14.0 * (fine - 0.985 * coarse - 0.004), 0, 1)


def _saturate(image: np.ndarray, amount: float) -> np.ndarray:
    grey = _grey(image)[..., None]
    return np.clip(grey + (image - grey) * amount, 0, 1)


def _watercolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    wash = _texture(cloud(201, 1.5), size, rng, 110)
    amount = 0.011 * size
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    other = _texture(cloud(202, 1.5), size, rng, 110)
    bled = cv2.remap(
        image, xx + amount * wash, yy + amount * other, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
    )
    flat = _smooth_colours(bled, 2, 5)
    flat = _saturate(flat, 1.25) * 0.82 + 0.18
    rims = cv2.GaussianBlur(flat, (0, 0), 0.02 * size) - flat
    pigment = 1.0 + 0.07 * wash + 0.05 * _texture(grain(203, 3.0), size, rng, 190)
    out = 1.0 - (1.0 - (flat - 0.5 * rims)) * np.clip(pigment, 0.6, 1.5)[..., None]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    border = np.maximum(np.abs(axis[None, :]), np.abs(axis[:, None])) + 0.05 * other
    fade = np.clip((border - 0.88) * 7, 0, 1)[..., None] * 0.75
    return out + fade * (0.97 - out)


def _oil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    flat = _kuwahara(image, max(2, round(size / 52)))
    grey = cv2.GaussianBlur(_grey(flat), (0, 0), 0.012 * size)
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    gx, gy = cv2.GaussianBlur(gx, (0, 0), 0.03 * size), cv2.GaussianBlur(gy, (0, 0), 0.03 * size)
    angle = np.arctan2(gy, gx) + np.float32(np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) * np.float32(256 / size)
    o = float(rng.uniform(0, 400))
    stroke = sample(
        grain(211, 7.0), xx * cos * 0.35 + yy * sin * 0.35 + o, yy * cos * 1.2 - xx * sin * 1.2
    )
    relief = cv2.Sobel(stroke, cv2.CV_32F, 1, 1, ksize=3) * (size / 256) + 0.4 * stroke
    return np.clip(_saturate(flat, 1.3) * (1.0 + 0.035 * relief[..., None]), 0, 1)


def _kuwahara(image: np.ndarray, radius: int) -> np.ndarray:
    """Kuwahara filter: each pixel takes the mean of its calmest neighbouring quadrant."""
    mean = cv2.blur(image, (radius + 1, radius + 1))
    grey = _grey(image)
    first = cv2.blur(grey, (radius + 1, radius + 1))
    spread = cv2.blur(grey * grey, (radius + 1, radius + 1)) - first * first
    half = radius / 2.0
    best, out = None, mean
    for dx in (-half, half):
        for dy in (-half, half):
            move = np.float32([[1, 0, dx], [0, 1, dy]])
            s = cv2.warpAffine(spread, move, spread.shape[::-1], borderMode=cv2.BORDER_REFLECT)
            m = cv2.warpAffine(mean, move, spread.shape[::-1], borderMode=cv2.BORDER_REFLECT)
            if best is None:
                best, out = s, m
            else:
                take = s < best
                best = np.where(take, s, best)
                out = np.where(take[..., None], m, out)
    return out


def _pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    grey = _grey(image)
    dodge = np.clip(grey / (cv2.GaussianBlur(grey, (0, 0), 0.035 * size) + 0.02), 0, 1)
    hatch = _texture(strands(221, 3.0, 60.0), size, rng, 260)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(25, 30)), 1.5)
    hatch = cv2.warpAffine(hatch, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    tone = 0.42 + 0.58 * grey
    shade = 1.0 - (1.0 - tone) * np.clip(0.75 + 0.42 * hatch, 0, 1.6)
    paper = 0.97 + 0.012 * _texture(grain(222, 3.0), size, rng, 220)
    drawn = np.clip(dodge**1.5 * shade, 0.05, 1) * paper
    return drawn[..., None] * np.float32([1.0, 0.985, 0.955])


def _ink(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    grey = (
        cv2.createCLAHE(2.0, (4, 4)).apply((_grey(image) * 255).astype(np.uint8)).astype(np.float32)
        / 255
    )
    lines = _edges(grey, 0.9)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) * np.float32(128 / size)
    wobble = 0.6 * _texture(cloud(231, 1.5), size, rng, 90)
    one = 0.5 + 0.5 * np.sin((xx + yy) * 1.75 + wobble)
    two = 0.5 + 0.5 * np.sin((xx - yy) * 1.75 + wobble)
    tone = cv2.GaussianBlur(grey, (0, 0), 0.008 * size)
    hatch = np.clip((tone - 0.58 * one) * 6 + 0.9, 0, 1) * np.clip(
        (tone - 0.30 * two) * 6 + 0.9, 0, 1
    )
    drawn = np.minimum(lines, hatch)
    ink, paper = np.float32([0.07, 0.07, 0.12]), np.float32([0.96, 0.94, 0.88])
    return ink + drawn[..., None] * (paper - ink)


def _mosaic(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    tiles = int(rng.choice([40, 48, 56]))
    tiles = min(tiles, size)
    small = _saturate(cv2.resize(image, (tiles, tiles), interpolation=cv2.INTER_AREA), 1.25)
    small = np.clip(small + rng.normal(0, 0.018, (tiles, tiles, 1)).astype(np.float32), 0, 1)
    big = cv2.resize(small, (size, size), interpolation=cv2.INTER_NEAREST)
    at = np.mod((np.arange(size, dtype=np.float32) + 0.5) * (tiles / size), 1.0)
    bevel = np.minimum(np.minimum(at[None, :], at[:, None]), 0.2) * 0.9 - np.minimum(
        np.minimum(1 - at[None, :], 1 - at[:, None]), 0.2
    )
    joint = np.minimum(np.minimum(at, 1 - at)[None, :], np.minimum(at, 1 - at)[:, None]) < 0.09
    big = np.clip(big * (1.0 - 0.35 * bevel[..., None]), 0, 1)
    return np.where(joint[..., None], big * 0.62 + 0.06, big)


def _poster(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = int(rng.choice([4, 5]))
    flat = _smooth_colours(image, 2, 5)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.round(hsv[..., 2] * levels) / levels
    hsv[..., 1] = np.clip(np.round(hsv[..., 1] * 1.3 * levels) / levels, 0, 1)
    hsv[..., 0] = np.mod(np.round(hsv[..., 0] / 12) * 12, 360)
    out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return out * (0.25 + 0.75 * _edges(_grey(flat), 1.0))[..., None]


def _pastel(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    flat = _smooth_colours(image, 1, 5)
    flat = _saturate(flat, 1.1) * 0.72 + 0.25
    stroke = _texture(strands(241, 5.0, 40.0), size, rng, 170)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(-50, -20)), 1.5)
    stroke = cv2.warpAffine(stroke, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    tooth = _texture(grain(242, 3.0), size, rng, 210)
    bare = np.clip(0.26 * (tooth * 0.7 + stroke * 0.5) - 0.12, 0, 0.45)[..., None]
    paper = np.float32([0.93, 0.90, 0.85])
    out = flat * (1.0 + 0.05 * stroke[..., None])
    return out + bare * (paper - out)


FILTERS = {
    "watercolour": _watercolour,
    "oil": _oil,
    "pencil": _pencil,
    "ink": _ink,
    "mosaic": _mosaic,
    "poster": _poster,
    "pastel": _pastel,
}
