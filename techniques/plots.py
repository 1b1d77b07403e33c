"""Plots as pictures. matplotlib is imported when one is drawn: importing it takes a second."""

from __future__ import annotations

from typing import Any

import numpy as np

DPI = 100
INK, GRID, ACCENT, FAINT = "#282830", "#dedee4", "#d6543c", "#9696a0"
"""Colours of all plots: text, grid, what matters, and what does not."""


def new_plot(width: int, height: int) -> tuple[Any, Any]:
    """A figure of width x height pixels and its axes, with a grid."""
    from matplotlib.figure import Figure

    figure = Figure((width / DPI, height / DPI), DPI, facecolor="#fafafc", layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.grid(color=GRID)
    axes.tick_params(colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def render(figure: Any) -> np.ndarray:
    """A figure as uint8 RGB [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
