"""Parts of soft masks, down to small and faint ones."""

import numpy as np
import pytest
import torch
from visage.techniques.mask_parts import label_parts
from visage.techniques.soft_mask import soften


def mask_of(*rectangles, height=160, width=240) -> torch.Tensor:
    """Rectangles (x, y, width, height, value)."""
    mask = torch.zeros(1, height, width)
    for x, y, w, h, value in rectangles:
        mask[:, y : y + h, x : x + w] = value
    return mask


def parts(mask: torch.Tensor) -> list[int]:
    """The size of each part, in the order of their first pixels' columns."""
    labels = label_parts(mask[0].numpy())
    numbers = range(1, labels.max() + 1)
    first = {number: np.nonzero(labels == number)[1].min() for number in numbers}
    return [int((labels == number).sum()) for number in sorted(numbers, key=first.get)]


def test_parts_of_a_full_mask_are_what_is_connected_above_one_half():
    assert parts(mask_of((10, 10, 20, 30, 1), (80, 40, 5, 5, 0.9))) == [600, 25]
    soft = soften(mask_of((40, 40, 80, 60, 1)), 8)
    assert parts(soft) == [int((soft > 0.5).sum())]


@pytest.mark.parametrize("value", [0.9, 0.51, 0.45, 0.2, 0.05, 0.004])
def test_a_faint_part_is_as_large_as_a_full_one(value):
    assert parts(mask_of((10, 10, 40, 30, value))) == [1200]


@pytest.mark.parametrize(("side", "sigma"), [(16, 8), (17, 8), (60, 32), (12, 16)])
def test_a_part_smaller_than_the_blur_keeps_about_its_size_or_more(side, sigma):
    soft = soften(mask_of((90, 50, side, side, 1)), sigma)
    (found,) = parts(soft)
    assert found >= 0.7 * side**2


def test_a_faint_part_beside_a_full_one_is_a_part_of_its_own():
    soft = soften(mask_of((10, 40, 80, 80, 1), (150, 60, 16, 16, 1)), 8)
    assert len(parts(soft)) == 2
    assert soft[0, 60:76, 150:166].max() < 0.5


def test_faint_parts_that_a_lower_threshold_joins_stay_apart():
    assert len(parts(soften(mask_of((60, 60, 16, 16, 1), (94, 60, 16, 16, 1)), 8))) == 2


def test_the_edge_of_a_soft_part_is_no_part_of_its_own():
    noise = torch.rand(1, 160, 240, generator=torch.Generator().manual_seed(0))
    soft = soften(mask_of((60, 40, 80, 80, 1)), 10) * (1 - 0.02 * noise)
    labels = label_parts(soft[0].numpy())
    sizes = np.bincount(labels.ravel())[1:]
    assert (sizes > 32).sum() == 1


def test_an_empty_mask_has_none():
    assert parts(mask_of()) == []
