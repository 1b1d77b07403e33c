"""The style-identity curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .plots import ACCENT, FAINT, INK, new_plot, render
from .tradeoff import Run, pareto_front

WIDTH, HEIGHT = 960, 640


def draw_tradeoff(runs: Sequence[Run]) -> Tensor:
    """A picture [640, 960, 3] in 0..1: style to the right, identity upwards, the front in colour.

    Raises ValueError without runs.
    """
    if not runs:
        raise ValueError("There are no runs to draw.")
    front = pareto_front(runs)
    figure, axes = new_plot(WIDTH, HEIGHT)
    axes.plot([run.style for run in front], [run.identity for run in front], color=ACCENT)
    middle = (min(run.style for run in runs) + max(run.style for run in runs)) / 2
    for run in runs:
        axes.plot(run.style, run.identity, "o", color=ACCENT if run in front else FAINT, ms=8)
        # Words go to the side that has room, off the falling front.
        is_left = run.style <= middle
        axes.annotate(
            run.label,
            (run.style, run.identity),
            (8, 5) if is_left else (-8, -14),
            textcoords="offset points",
            ha="left" if is_left else "right",
            color=INK,
        )
    axes.margins(0.08)
    axes.set_xlabel("style: to the right is more of it", color=INK)
    axes.set_ylabel("identity: upwards is more of the person", color=INK)
    return torch.from_numpy(render(figure)).float() / 255
