"""Masks joined, grown by what they show, and drawn from boxes."""

import pytest
import torch
from visage.techniques.mask_logic import (
    combine,
    grow_by_size,
    mask_of_boxes,
    outline,
    read_boxes,
)

FIRST = torch.tensor([[[0.0, 0.3, 1.0, 1.0]]])
SECOND = torch.tensor([[[0.6, 0.6, 0.2, 1.0]]])


def square(*corners, size=64):
    mask = torch.zeros(1, size, size)
    for top, left, side in corners:
        mask[:, top : top + side, left : left + side] = 1
    return mask


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        ("union", [0.6, 0.6, 1.0, 1.0]),
        ("minus", [0.0, 0.3, 0.8, 0.0]),
        ("intersect", [0.0, 0.3, 0.2, 1.0]),
    ],
)
def test_soft_values_take_the_larger_or_the_smaller_one(operation, values):
    torch.testing.assert_close(combine(FIRST, SECOND, operation), torch.tensor([[values]]))


def test_the_other_mask_takes_the_size_and_number_of_the_first():
    half = torch.ones(1, 32, 32)
    assert combine(square((0, 0, 64)).expand(3, -1, -1), half, "intersect").shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (torch.rand(1, 20, 64), "aspect ratios"),
        (torch.ones(2, 64, 64), "mask has 3 .* other has 2"),
    ],
)
def test_masks_that_do_not_fit_are_named(other, said):
    with pytest.raises(ValueError, match=said):
        combine(torch.rand(3, 64, 64), other, "union")


def test_an_unknown_operation_names_those_there_are():
    with pytest.raises(ValueError, match="xor.*union, minus, intersect"):
        combine(FIRST, SECOND, "xor")


def test_each_object_grows_by_its_own_size():
    """A tenth of 20 px is 2 px, of 10 px 1 px."""
    grown = grow_by_size(square((5, 5, 20), (40, 40, 10)), 10)[0]
    assert grown[15].nonzero().flatten().tolist() == list(range(3, 27))
    assert grown[45].nonzero().flatten().tolist() == list(range(39, 51))


def test_an_object_shrinks_below_zero_and_stays_at_zero():
    mask = square((5, 5, 20))
    assert grow_by_size(mask, -10).sum() == 16 * 16
    assert torch.equal(grow_by_size(mask, 0), mask)


@pytest.mark.parametrize("percent", [-100, 0, 100])
def test_an_empty_mask_stays_empty_and_a_full_one_full(percent):
    assert not grow_by_size(torch.zeros(1, 32, 32), percent).any()
    if percent >= 0:
        assert grow_by_size(torch.ones(1, 32, 32), percent).all()


def test_holes_are_filled_and_soft_values_kept():
    ring = square((10, 10, 20)) - square((15, 15, 5))
    ring[0, 40, 40] = 0.2
    filled = outline(ring, "without holes")
    assert filled[0, 17, 17] == 1
    assert filled.sum() == pytest.approx(400.2)


def test_each_part_becomes_the_box_around_it():
    ell = square((10, 10, 4)) + square((14, 14, 4)) + square((14, 10, 4)) + square((40, 40, 6))
    boxed = outline(ell * 0.9, "box")
    assert boxed[0, 10:18, 10:18].min() == pytest.approx(0.9)
    assert (boxed > 0).sum() == 64 + 36


def test_no_part_is_no_box():
    assert not outline(torch.zeros(2, 16, 16), "box").any()


def test_boxes_in_pixels_are_drawn_for_each_picture():
    masks = mask_of_boxes([[(2, 3, 4, 5)], [(-5, 60, 10, 10), (20, 0, 1, 1)]], 64, 64)
    assert masks[0].nonzero().amin(0).tolist() == [3, 2]
    assert masks[0].sum() == 20
    assert masks[1].sum() == 5 * 4 + 1


def test_boxes_by_hand_are_percent_of_the_picture():
    assert read_boxes("25, 10, 50, 40; 0 0 10% 10%", 200, 400) == [
        (100, 20, 200, 80),
        (0, 0, 40, 20),
    ]
    assert read_boxes(" ", 10, 10) == []


@pytest.mark.parametrize(
    "text", ["1, 2, 3", "left", "1, 2, 3, 4, 5", "1, 2, 0, 4", "a, 1, 2, 3, 4"]
)
def test_a_box_of_another_form_is_named(text):
    with pytest.raises(ValueError, match="is no box. Write x, y, width, height"):
        read_boxes(text, 10, 10)
