"""The canvas: linear-light colour and the label map, painted together so that they always agree."""

import numpy as np

from .labels import LABEL


def linear(colour) -> np.ndarray:
    """8-bit display colour(s) to linear light 0..1 (gamma 2, cheap to invert)."""
    c = np.asarray(colour, np.float32) * (1.0 / 255.0)
    return c * c


class Canvas:
    """rgb [H, W, 3] float32 linear light; labels [H, W] uint8."""

    def __init__(self, rgb: np.ndarray) -> None:
        self.rgb = rgb
        self.labels = np.zeros(rgb.shape[:2], np.uint8)

    def paint(self, where, colour, alpha: np.ndarray, label: str | None = None) -> None:
        """Lay `colour` ([3] or [h, w, 3]) over the slice `where` with coverage alpha [h, w]."""
        columns, rows = np.flatnonzero(alpha.any(0)), np.flatnonzero(alpha.any(1))
        if not len(columns):
            return
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        part, alpha = self.rgb[where][box], alpha[box]
        if np.ndim(colour) == 3 and colour.shape[:2] != (1, 1):
            colour = colour[box]
        part += alpha[..., None] * (colour - part)
        if label is not None:
            self.labels[where][box][alpha > 0.5] = LABEL[label]

    def darken(self, where, amount: np.ndarray, tint=(1.0, 1.0, 1.0)) -> None:
        """Multiply by 1 - amount * tint (tint below 1 in red keeps shadows on skin warm)."""
        self.rgb[where] *= 1.0 - amount[..., None] * np.asarray(tint, np.float32)
