"""Masks at latent and token size: cell means, VAE Encode's crop, and the grids of odd sizes."""

import pytest
import torch
from visage.techniques.latent_masks import cell_mask, token_mask


def test_a_cell_is_the_mean_of_its_pixels():
    mask = torch.rand(2, 24, 40, generator=torch.Generator().manual_seed(0))
    cells = cell_mask(mask, 3, 5)
    assert cells.shape == (2, 1, 3, 5)
    assert torch.allclose(cells[:, 0, 1, 2], mask[:, 8:16, 16:24].mean(dim=(1, 2)))


def test_a_mask_is_cropped_as_vae_encode_crops_the_picture():
    mask = torch.zeros(1, 45, 45)
    mask[:, 2:10, 2:10] = 1  # 45 = 5 * 8 + 5, of which 2 go at the left and top
    assert cell_mask(mask, 5, 5)[0, 0, 0, 0] == 1
    assert cell_mask(mask, 5, 5).sum() == 1


def test_a_mask_is_padded_as_our_own_nodes_pad_the_picture():
    mask = torch.zeros(1, 41, 41)
    mask[:, 40:, 40:] = 1
    assert cell_mask(mask, 6, 6)[0, 0, 5, 5] == 1


def test_a_mask_at_latent_resolution_is_taken_as_it_is():
    mask = torch.rand(1, 1, 4)
    assert cell_mask(mask, 2, 8).shape == (1, 1, 2, 8)


def test_a_mask_of_another_picture_is_refused():
    with pytest.raises(ValueError, match=r"face is 64 x 64.*80 x 40"):
        cell_mask(torch.rand(1, 64, 64), 5, 10, "face")


@pytest.mark.parametrize(
    ("tokens", "grid"), [(77, (7, 11)), (24, (4, 6)), (6, (2, 3)), (2, (1, 2))]
)
def test_tokens_follow_the_unets_levels_at_odd_sizes(tokens, grid):
    mask = torch.rand(2, 1, 7, 11, generator=torch.Generator().manual_seed(0))
    pooled = token_mask(mask, tokens)
    assert pooled.shape == (2, grid[0] * grid[1])
    assert torch.equal(token_mask(torch.ones_like(mask), tokens), torch.ones_like(pooled))
    assert torch.equal(token_mask(torch.zeros_like(mask), tokens), torch.zeros_like(pooled))


def test_tokens_are_pooled_by_area():
    mask = torch.rand(1, 1, 4, 6)
    assert torch.allclose(token_mask(mask, 6)[0, 0], mask[..., :2, :2].mean())


def test_tokens_of_no_level_are_refused():
    with pytest.raises(ValueError, match=r"11 x 7 cells.*25"):
        token_mask(torch.ones(1, 1, 7, 11), 25)
