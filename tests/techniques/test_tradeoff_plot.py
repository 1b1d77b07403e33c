from __future__ import annotations

import pytest
import torch
from visage.techniques.tradeoff import make_run
from visage.techniques.tradeoff_plot import _BEATEN, _FRONT, draw_tradeoff, nice_ticks


def share(picture, colour):
    pixels = picture.mul(255).round().int()
    return (pixels == torch.tensor(colour, dtype=torch.int32)).all(dim=-1).float().mean()


def test_the_front_is_in_colour_and_beaten_runs_are_grey():
    front = [make_run("a", 0.9, 0.1), make_run("b", 0.1, 0.9)]
    alone = draw_tradeoff(front)
    assert alone.shape == (640, 960, 3) and 0 <= alone.min() and alone.max() <= 1
    assert share(alone, _FRONT) > 0 and share(alone, _BEATEN) == 0
    assert share(draw_tradeoff([*front, make_run("c", 0.1, 0.1)]), _BEATEN) > 0


def test_more_style_is_to_the_right_and_more_person_is_up():
    picture = draw_tradeoff([make_run("x", 0.2, 0.2), make_run("y", 0.8, 0.8)])
    rows, columns = torch.nonzero(
        (picture.mul(255).round().int() == torch.tensor(_FRONT, dtype=torch.int32)).all(dim=-1)
    ).T
    assert columns.float().mean() > 480 and rows.float().mean() < 320


@pytest.mark.parametrize("runs", [[("only", 0.5, 0.5)], [("a", -3, 1), ("b", 400, 1)]])
def test_few_equal_and_far_runs_can_be_drawn(runs):
    assert draw_tradeoff([make_run(*run) for run in runs]).isfinite().all()


def test_without_runs_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="no runs"):
        draw_tradeoff([])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.11, 0.14, [0.11, 0.115, 0.12, 0.125, 0.13, 0.135, 0.14]),
        (-3, 400, [-100, 0, 100, 200, 300, 400]),
    ],
)
def test_ticks_are_round_numbers_that_cover_the_range(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0, 17.3])
def test_one_value_still_has_a_range(value):
    ticks = nice_ticks(value, value)
    assert len(ticks) >= 2 and ticks[0] <= value <= ticks[-1]
