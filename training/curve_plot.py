"""A loss curve as a picture, cheap enough to draw often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..techniques.plots import ACCENT, FAINT, INK, new_plot, render


def draw_curve(
    steps: Sequence[int], losses: Sequence[float], width: int = 800, height: int = 420
) -> np.ndarray:
    """Plot losses over steps as uint8 RGB [height, width, 3]: values faint, their average bold."""
    values = np.asarray(losses, np.float64)
    smooth = _smooth(values)
    figure, axes = new_plot(width, height)
    axes.plot(steps, values, color=FAINT, lw=0.6)
    axes.plot(steps, smooth, color=ACCENT, lw=1.8)
    axes.set_title(f"loss {smooth[-1]:.5f} at step {steps[-1]}", loc="left", color=INK, size=10)
    return render(figure)


def _smooth(values: np.ndarray) -> np.ndarray:
    """The running mean of the values, over a window of a twentieth of them."""
    window = max(1, len(values) // 20)
    total = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (total[ends] - total[starts]) / (ends - starts)
