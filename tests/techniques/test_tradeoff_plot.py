from __future__ import annotations

import pytest
import torch
from visage.techniques.plots import ACCENT, FAINT
from visage.techniques.tradeoff import make_run
from visage.techniques.tradeoff_plot import draw_tradeoff


def where(picture, colour):
    """Which pixels have a colour, such as #ff0000."""
    wanted = torch.tensor(list(bytes.fromhex(colour[1:])), dtype=torch.int32)
    return (picture.mul(255).round().int() == wanted).all(dim=-1)


def test_the_front_is_in_colour_and_beaten_runs_are_grey():
    front = [make_run("a", 0.9, 0.1), make_run("b", 0.1, 0.9)]
    alone = draw_tradeoff(front)
    assert alone.shape == (640, 960, 3) and 0 <= alone.min() and alone.max() <= 1
    assert where(alone, ACCENT).any() and not where(alone, FAINT).any()
    assert where(draw_tradeoff([*front, make_run("c", 0.1, 0.1)]), FAINT).any()


def test_more_style_is_to_the_right_and_more_person_is_up():
    picture = draw_tradeoff([make_run("x", 0.2, 0.2), make_run("y", 0.8, 0.8)])
    rows, columns = torch.nonzero(where(picture, ACCENT)).T
    assert columns.float().mean() > 480 and rows.float().mean() < 320


@pytest.mark.parametrize("runs", [[("only", 0.5, 0.5)], [("a", -3, 1), ("b", 400, 1)]])
def test_few_equal_and_far_runs_can_be_drawn(runs):
    assert draw_tradeoff([make_run(*run) for run in runs]).isfinite().all()


def test_without_runs_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="no runs"):
        draw_tradeoff([])
