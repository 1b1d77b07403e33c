"""Plots of a comparison of face edits: the spread of a figure, the profile across the mask's edge,
and the places that each method changed.

They follow figures 4, 5, 7 and 8 of Kang et al., "High-Fidelity Face Swap via Prompt-Driven
Inpainting and Pixel-Level Background Preservation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from .face_edit import COLUMNS, Pair, Row

AMPLIFIED = 4
# Rec. 709 luma.
_LUMA = np.array((0.2126, 0.7152, 0.0722))


def plot_spread(rows: Sequence[Row], column: str, path: Path) -> None:
    """Plot the spread of a column's values over the pictures, one box for each method."""
    shown = {
        row.name: [value for value in row.values[column] if np.isfinite(value)]
        for row in rows
        if column in row.values
    }
    shown = {name: values for name, values in shown.items() if values}
    figure = Figure(figsize=(8, 0.6 * len(shown) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(list(shown.values()), orientation="horizontal", showmeans=True)
    axes.set_yticks(range(1, len(shown) + 1), list(shown))
    axes.invert_yaxis()
    axes.set_xlabel(COLUMNS[column])
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)


def boundary_row(pair: Pair) -> int:
    """Number of the row of pixels through the middle of the mask."""
    rows = pair.mask.any(dim=1).nonzero().flatten()
    return int(rows[len(rows) // 2])


def plot_profile(pair: Pair, edits: Mapping[str, Tensor], path: Path) -> None:
    """Plot the intensity along the row through the mask's middle; a seam is a step at its edges."""
    row = boundary_row(pair)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        range(pair.mask.shape[1]),
        pair.mask[row].numpy(),
        step="mid",
        color="0.92",
        label="mask",
    )
    for name, picture in {"original": pair.image, **edits}.items():
        axes.plot(picture[row].numpy() @ _LUMA, label=name, linewidth=1)
    axes.set(xlabel=f"pixel of row {row}", ylabel="intensity", ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def plot_differences(pair: Pair, edits: Mapping[str, Tensor], path: Path) -> None:
    """Plot each edit and, below it, its amplified difference from the original."""
    count = len(edits) + 1
    figure = Figure(figsize=(2.4 * count, 5), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    axes[0, 0].imshow(pair.image.numpy())
    axes[0, 0].set_title("original", fontsize=8)
    axes[1, 0].imshow(pair.mask.numpy(), cmap="gray", vmin=0, vmax=1)
    axes[1, 0].set_title("mask", fontsize=8)
    for column, (name, edited) in enumerate(edits.items(), start=1):
        difference = (edited - pair.image).abs().mean(dim=-1) * AMPLIFIED
        axes[0, column].imshow(edited.clamp(0, 1).numpy())
        axes[0, column].set_title(name, fontsize=8)
        axes[1, column].imshow(difference.clamp(max=1).numpy(), cmap="magma", vmin=0, vmax=1)
        axes[1, column].set_title(f"difference x {AMPLIFIED}", fontsize=8)
    figure.savefig(path, dpi=120)
