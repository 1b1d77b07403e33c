"""A loss curve as a picture, small enough to draw at every look."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_MARGIN = (64, 28, 20, 36)  # left, top, right, bottom
_INK, _GRID, _RAW, _SMOOTH = (60, 60, 60), (225, 225, 225), (190, 205, 235), (200, 80, 30)


def draw_curve(
    steps: Sequence[int], losses: Sequence[float], width: int = 800, height: int = 420
) -> np.ndarray:
    """Losses over steps as uint8 RGB [height, width, 3]: each value faint, their average bold."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    left, top, right, bottom = _MARGIN
    right, bottom = width - right, height - bottom
    values = np.asarray(losses, np.float64)
    smooth = _smooth(values)
    low, high = float(values.min()), float(values.max())
    span = max(high - low, 1e-12)
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def points(series: np.ndarray) -> np.ndarray:
        x = left + (np.asarray(steps) - first) / (last - first) * (right - left)
        y = bottom - (series - low) / span * (bottom - top)
        return np.stack((x, y), axis=-1).round().astype(np.int32)[None]

    for part in np.linspace(0, 1, 5):
        y, x = round(bottom - part * (bottom - top)), round(left + part * (right - left))
        cv2.line(canvas, (left, y), (right, y), _GRID, 1)
        _write(canvas, f"{low + part * span:.4f}", (6, y + 4))
        _write(canvas, f"{round(first + part * (last - first))}", (x - 12, bottom + 20))
    cv2.polylines(canvas, points(values), False, _RAW, 1, cv2.LINE_AA)
    cv2.polylines(canvas, points(smooth), False, _SMOOTH, 2, cv2.LINE_AA)
    _write(canvas, f"loss {smooth[-1]:.5f} at step {steps[-1]}", (left, 18))
    return canvas


def _smooth(values: np.ndarray) -> np.ndarray:
    """The mean of the values up to each, over a window of a twentieth of them."""
    window = max(1, len(values) // 20)
    total = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (total[ends] - total[starts]) / (ends - starts)


def _write(canvas: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
