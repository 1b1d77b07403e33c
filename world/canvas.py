"""The canvas: linear-light colour and the label map, painted together so that they agree.

Colours are planar, [3, h, w] or [3, 1, 1]: numpy is many times quicker on whole planes than on
interleaved triples.
"""

import cv2
import numpy as np

from .labels import LABEL


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """One colour as [3, 1, 1] float32."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def linear(colour) -> np.ndarray:
    """8-bit display colour (red, green, blue) to linear light [3, 1, 1], gamma 2."""
    c = rgb(*colour) * np.float32(1.0 / 255.0)
    return c * c


class Canvas:
    """planes [3, H, W] float32 linear light; labels [H, W] uint8."""

    def __init__(self, planes: np.ndarray) -> None:
        self.planes = planes
        self.labels = np.zeros(planes.shape[1:], np.uint8)

    def paint(self, where, colour: np.ndarray, alpha: np.ndarray, label: str | None = None) -> None:
        """Lay `colour` over the slice `where` with coverage alpha [h, w]."""
        columns, rows = np.flatnonzero(alpha.any(0)), np.flatnonzero(alpha.any(1))
        if not len(columns):
            return
        r, c = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        part, alpha = self.planes[:, where[0], where[1]][:, r, c], alpha[r, c]
        if colour.shape[1:] != (1, 1):
            colour = colour[:, r, c]
        step = colour - part
        step *= alpha
        part += step
        if label is not None:
            self.labels[where][r, c][alpha > 0.5] = LABEL[label]

    def darken(self, where, amount: np.ndarray, tint: np.ndarray) -> None:
        """Multiply by 1 - amount * tint; a tint below 1 in red keeps shadows on skin warm."""
        self.planes[:, where[0], where[1]] *= 1.0 - amount * tint

    def shrunk(self, size: int) -> np.ndarray:
        """Linear light [size, size, 3], averaged over areas."""
        return cv2.resize(cv2.merge(list(self.planes)), (size, size), interpolation=cv2.INTER_AREA)
