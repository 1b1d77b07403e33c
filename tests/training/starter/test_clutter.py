"""Pictures without a face: drawn things, faces whose parts are out of place, backs of heads."""

import numpy as np
import pytest
from visage.training.starter.clutter import add_clutter, from_behind, out_of_place


def numbered(side):
    """A picture whose pixels all differ: red counts the rows, green the columns."""
    rows, columns = np.mgrid[:side, :side]
    return np.stack([rows, columns, np.zeros_like(rows)], 2).astype(np.uint8)


def test_clutter_changes_a_part_of_the_picture_and_a_seed_repeats_it():
    ground = np.full((96, 96, 3), 120, np.uint8)
    fractions = []
    for seed in range(20):
        drawn = add_clutter(ground, np.random.default_rng(seed))
        again = add_clutter(ground, np.random.default_rng(seed))
        assert drawn.shape == ground.shape and drawn.dtype == np.uint8
        assert np.array_equal(drawn, again)
        fractions.append((drawn != ground).any(2).mean())
    assert (ground == 120).all()
    assert 0.05 < np.mean(fractions) < 0.95


@pytest.mark.parametrize("seed", range(12))
def test_parts_of_a_face_never_stay_where_they_were(seed):
    face = numbered(32)
    shown = out_of_place(face, np.random.default_rng(seed))
    assert shown.shape == face.shape
    assert (shown[..., :2] == face[..., :2]).all(2).mean() < 0.1


def test_a_head_from_behind_has_the_colour_above_its_face():
    picture = np.full((80, 80, 3), (200, 160, 140), np.uint8)
    picture[:30] = (40, 30, 20)
    box = np.array([[30.0, 32, 20, 26]], np.float32)
    shown = from_behind(picture, box, np.random.default_rng(0))
    middle = shown[40:50, 35:45].mean((0, 1))
    assert np.abs(middle - (40, 30, 20)).max() < 40
    assert np.array_equal(shown[:, :20], picture[:, :20])


def test_a_face_at_the_border_is_left_without_an_error():
    picture = numbered(40)
    boxes = np.array([[-10.0, -10, 8, 8], [38, 38, 10, 10]], np.float32)
    assert from_behind(picture, boxes, np.random.default_rng(0)).shape == picture.shape
