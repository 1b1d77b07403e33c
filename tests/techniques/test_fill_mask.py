"""Holes filled without a model."""

import pytest
import torch
from visage.techniques.fill_mask import METHODS, fill_mask

STRIPES = ((torch.arange(64) // 4) % 2).float().expand(64, 64).unsqueeze(-1).expand(-1, -1, 3)


def hole(top, left, height, width, size=64):
    mask = torch.zeros(1, size, size)
    mask[:, top : top + height, left : left + width] = 1
    return mask


def spoilt(picture, mask):
    return torch.where(mask.unsqueeze(-1) > 0, torch.rand_like(picture), picture)


def test_a_pattern_goes_on_through_the_hole():
    mask = hole(20, 24, 16, 14)
    filled = fill_mask(spoilt(STRIPES[None], mask), mask)
    assert (filled - STRIPES).abs().mean(-1)[mask > 0].mean() < 0.03


def test_a_smooth_fill_knows_no_pattern_and_is_the_mean_around():
    mask = hole(20, 24, 16, 16)
    filled = fill_mask(spoilt(STRIPES[None], mask), mask, "smooth")
    assert 0.3 < filled[0, 28, 32].mean() < 0.7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("corner", [(0, 0), (56, 30), (0, 56)])
def test_outside_the_mask_nothing_changes_and_borders_are_filled_too(method, corner):
    picture = torch.rand(1, 64, 64, 3)
    mask = hole(*corner, 8, 8)
    filled = fill_mask(picture, mask, method)
    assert torch.equal(filled[mask == 0], picture[mask == 0])
    assert not torch.equal(filled[mask > 0], picture[mask > 0])
    assert torch.isfinite(filled).all()


def test_a_soft_mask_blends():
    picture = torch.rand(1, 64, 64, 3)
    mask = hole(20, 20, 8, 8)
    whole, half = fill_mask(picture, mask, "smooth"), fill_mask(picture, mask * 0.5, "smooth")
    torch.testing.assert_close(half, (picture + whole) / 2)


def test_the_same_seed_gives_the_same_picture():
    picture = torch.rand(1, 64, 64, 3)
    mask = hole(20, 20, 12, 12)
    same = [fill_mask(picture, mask, seed=seed) for seed in (2**64 - 1, 2**64 - 1, 1)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_nothing_is_taken_from_where_it_is_to_be_avoided():
    """A green hole's surroundings are green on the left and red on the right, which is avoided."""
    picture = torch.zeros(1, 64, 64, 3)
    picture[..., :40, 1] = 1
    picture[..., 40:, 0] = 1
    mask, avoid = hole(26, 30, 10, 20), hole(0, 40, 64, 24)
    filled = fill_mask(picture, mask, avoid=avoid)[0][mask[0] > 0]
    assert filled[:, 0].max() < 0.05
    assert filled[:, 1].min() > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_a_mask_that_covers_all_leaves_nothing_to_fill_from(method):
    with pytest.raises(ValueError, match="covers all of picture 0.*smaller"):
        fill_mask(torch.rand(1, 32, 32, 3), torch.ones(1, 32, 32), method)


def test_too_little_for_a_patch_is_said():
    mask = torch.ones(1, 32, 32)
    mask[:, :5] = 0
    with pytest.raises(ValueError, match="no patch of 7 px is left.*method smooth"):
        fill_mask(torch.rand(1, 32, 32, 3), mask)


def test_batches_gray_pictures_and_empty_masks():
    masks = torch.cat([hole(20, 20, 8, 8), torch.zeros(1, 64, 64)])
    gray = torch.rand(2, 64, 64, 1)
    filled = fill_mask(gray, masks)
    assert filled.shape == (2, 64, 64, 3)
    assert torch.equal(filled[1], gray[1].expand(-1, -1, 3))


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ValueError, match="'magic'.*patches, smooth"):
        fill_mask(torch.rand(1, 8, 8, 3), torch.zeros(1, 8, 8), "magic")
