import pytest
import torch
from visage.techniques.laplacian_blend import laplacian_blend
from visage.techniques.soft_mask import soften


def two_pictures(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, height, width, 3, generator=generator)


def disc(size, radius):
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((x - size // 2) ** 2 + (y - size // 2) ** 2 <= radius**2).float()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 5), (17, 40), (61, 33), (64, 64)])
def test_sizes_of_every_kind_and_a_matte_that_is_exact_by_construction(size):
    edited, original = two_pictures(*size)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        matte = (torch.rand(*size, generator=generator) - 0.4).clamp(0, 1)
        blended = laplacian_blend(edited, original, matte)
        assert torch.equal(blended[matte == 0], original[matte == 0])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 64), (65, 31)])
def test_a_full_matte_gives_the_edit(size):
    edited, original = two_pictures(*size)
    assert torch.allclose(laplacian_blend(edited, original, torch.ones(size)), edited, atol=1e-5)


def test_an_unchanged_edit_changes_nothing():
    original = two_pictures(50, 41)[0]
    assert torch.equal(laplacian_blend(original, original, torch.rand(50, 41)), original)


def test_a_tone_fades_in_from_a_hard_edge_without_a_seam():
    matte, original = disc(129, 50), torch.full((129, 129, 3), 0.3)
    row = laplacian_blend(original + 0.4, original, matte)[64, :, 0]
    assert row[64] == pytest.approx(0.7, abs=1e-4)
    assert row.diff().abs().max() < 0.1  # a linear blend jumps by 0.4


def test_detail_reaches_further_out_than_tone():
    matte, original = disc(129, 50), torch.full((129, 129, 3), 0.3)
    detail = torch.zeros_like(original)
    detail[::2, ::2] = 0.2
    detail[1::2, 1::2] = 0.2
    at = (slice(60, 69), slice(17, 22))
    tone = laplacian_blend(original + 0.1, original, matte)[at] - original[at]
    fine = laplacian_blend(original + detail, original, matte)[at] - original[at]
    assert tone.mean() < 0.05
    assert fine.std() > 0.09


def test_a_soft_matte_never_changes_a_pixel_by_more_than_its_fraction():
    edited, original = torch.full((2, 90, 70, 3), 0.2).unbind()
    edited = edited + 0.5
    matte = soften(disc(90, 25)[:, :70], 6)[0]
    change = (laplacian_blend(edited, original, matte) - original).abs().amax(-1)
    assert (change <= 0.5 * matte + 1e-6).all()
