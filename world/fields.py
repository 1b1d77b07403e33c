"""Scalar fields: smooth steps, bumps and tileable noise that every part draws with."""

from functools import lru_cache

import cv2
import numpy as np

NOISE_SIZE = 512


def smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Hermite step: 0 below `low`, 1 above `high` (either order), same shape as x."""
    t = x - low
    t *= 1.0 / (high - low)
    np.clip(t, 0.0, 1.0, out=t)
    rise = t * -2.0
    rise += 3.0
    t *= t
    t *= rise
    return t


def bump(u: np.ndarray, v: np.ndarray, cu: float, cv: float, su: float, sv: float) -> np.ndarray:
    """Gaussian hill of height 1 at (cu, cv) with half-widths (su, sv)."""
    a = u - cu
    a *= 1.0 / su
    a *= a
    b = v - cv
    b *= 1.0 / sv
    b *= b
    a += b
    np.clip(a, 0.0, 30.0, out=a)
    np.negative(a, out=a)
    return cv2.exp(a)


def _spectrum_noise(seed: int, gain: np.ndarray) -> np.ndarray:
    """Tileable noise of zero mean and unit variance with the given spectral gain."""
    white = np.random.default_rng(seed).standard_normal((NOISE_SIZE, NOISE_SIZE))
    noise = np.fft.ifft2(np.fft.fft2(white) * gain).real
    noise -= noise.mean()
    return np.ascontiguousarray(noise / noise.std(), dtype=np.float32)


def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    f = np.fft.fftfreq(NOISE_SIZE) * NOISE_SIZE
    return f[None, :], f[:, None]


@lru_cache(maxsize=32)
def cloud(seed: int, exponent: float = 1.6) -> np.ndarray:
    """Fractal noise: amplitude falls with frequency to the power `exponent`."""
    fx, fy = _frequencies()
    return _spectrum_noise(seed, np.maximum(np.hypot(fx, fy), 1.0) ** -exponent)


@lru_cache(maxsize=32)
def grain(seed: int, size: float) -> np.ndarray:
    """Round grains about `size` texels wide (a band-pass)."""
    fx, fy = _frequencies()
    r = np.hypot(fx, fy) * size / NOISE_SIZE
    return _spectrum_noise(seed, r * np.exp(-2.0 * r * r))


@lru_cache(maxsize=32)
def strands(seed: int, width: float = 2.5, length: float = 120.0) -> np.ndarray:
    """Long thin streaks along the rows' direction: x runs along a strand, y across it."""
    fx, fy = _frequencies()
    along = np.exp(-((fx * length / NOISE_SIZE) ** 2))
    across = np.exp(-((fy * width / NOISE_SIZE) ** 2)) / np.maximum(np.abs(fy), 4.0) ** 0.35
    return _spectrum_noise(seed, along * across)


def sample(texture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tiled bilinear lookup at texel coordinates (x, y), any shape [h, w]."""
    return cv2.remap(texture, _wrapped(x), _wrapped(y), cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)


def _wrapped(x: np.ndarray) -> np.ndarray:
    """x modulo the noise size, as float32."""
    whole = x * (1.0 / NOISE_SIZE)
    np.floor(whole, out=whole)
    whole *= -float(NOISE_SIZE)
    whole += x
    return whole.astype(np.float32, copy=False)


def curve(x: np.ndarray, xs: list[float], ys: list[float], samples: int = 256) -> np.ndarray:
    """A smooth function of x through the points (xs, ys), held constant beyond its ends."""
    grid = np.linspace(xs[0], xs[-1], samples, dtype=np.float32)
    table = np.interp(grid, xs, ys).astype(np.float32)
    kernel = np.hanning(samples // (len(xs) * 2) * 2 + 3)[1:-1]
    kernel /= kernel.sum()
    pad = len(kernel) // 2
    table = np.convolve(np.pad(table, pad, mode="edge"), kernel, mode="valid").astype(np.float32)
    index = (x - xs[0]) * ((samples - 1) / (xs[-1] - xs[0]))
    return table[np.clip(index, 0, samples - 1).astype(np.int32)]


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; a large one is made on a shrunken copy, which is enough for soft shadows."""
    if sigma < 0.3:
        return image
    if sigma <= 4:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    h, w = image.shape[:2]
    step = int(sigma // 2)
    small_size = (max(1, w // step), max(1, h // step))
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The plane moved by (dx, dy) pixels, with zeros at the free borders."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return cv2.warpAffine(image, matrix, (image.shape[1], image.shape[0]))
