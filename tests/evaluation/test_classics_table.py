"""Figures on people as numbers, a table and a curve."""

import numpy as np
import pytest
from visage.evaluation.classics import Row
from visage.evaluation.classics_people import figures_of
from visage.evaluation.classics_table import draw_curves, write_table


@pytest.fixture
def rows():
    """Where the person is kept, the rest is painted as well and the face is nearer."""
    return {
        "patches": {
            "free": Row([0.6, 0.7], [0.0, 0.1], [0.6, 0.6]),
            "dial_0.5": Row([0.2, 0.3], [0.5, 0.6], [0.5, 0.4]),
            "kept": Row([0.6, 0.7], [0.6, 0.9], [0.3, 0.2]),
        }
    }


def test_the_gain_has_an_interval_and_is_taken_at_equal_style(rows):
    figures = figures_of(rows)
    assert figures["patches_pictures"] == 2
    assert figures["patches_identity_gain"] == pytest.approx(0.7)
    assert figures["patches_identity_gain_low"] == pytest.approx(0.6)
    assert figures["patches_style_change"] == 0
    assert figures["patches_identity_gain_at_equal_style"] == pytest.approx(0.7)
    # Turned down to style 0.4, the dial alone keeps 0.25 of the person.
    rows["patches"]["kept"].style[0] = 0.4
    gain = figures_of(rows)["patches_identity_gain_at_equal_style"]
    assert gain == pytest.approx((0.6 - 0.25 + 0.8) / 2)


def test_the_table_has_a_line_for_every_way(rows, tmp_path):
    path = tmp_path / "results" / "table.md"
    write_table(rows, path)
    lines = path.read_text().splitlines()
    assert len(lines) == 2 + 3
    assert lines[2].startswith("| patches | free | 2 | 0.650 (0.600 to 0.700) |")


def test_the_curve_shows_every_way(rows):
    picture = draw_curves(rows)
    assert picture.dtype == np.uint8
    alone = {"patches": {"free": rows["patches"]["free"], "kept": rows["patches"]["kept"]}}
    assert not np.array_equal(picture, draw_curves(alone))
