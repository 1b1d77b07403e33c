import json

import pytest
import torch
from skimage import data
from visage.techniques.lab import rgb_to_lab
from visage.techniques.pixel_blend import BLENDS, RESHAPING, blend, prove
from visage.techniques.soft_mask import soften

MODES = list(BLENDS)


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(params=["off", "lab"])
def tone_match(request):
    return request.param


def random_matte(generator, height, width):
    """A few soft discs [1, H, W], some over the border, on a background of exact 0."""
    matte = torch.zeros(1, height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for _ in range(int(torch.randint(1, 4, (), generator=generator))):
        cy, cx, r = (
            torch.rand(3, generator=generator) * torch.tensor([height, width, 12.0])
        ).tolist()
        matte[0][(y - cy) ** 2 + (x - cx) ** 2 <= r**2] = 1
    return soften(matte, float(torch.rand((), generator=generator)) * 3)


def portrait():
    """A photograph [1, 192, 160, 3], the soft matte of its face, and an edit in another light."""
    image = torch.from_numpy(data.astronaut()[20:212, 146:306]).float().unsqueeze(0) / 255
    y, x = torch.meshgrid(torch.arange(192), torch.arange(160), indexing="ij")
    face = (((x - 80) / 48) ** 2 + ((y - 90) / 62) ** 2 < 1).float()
    edit = (image.flip(2) * torch.tensor([0.7, 0.9, 1.2]) * 0.9 + 0.05).clamp(0, 1)
    return image, soften(face, 5), edit


@pytest.mark.parametrize("seed", range(8))
def test_the_background_is_the_original_bit_for_bit(mode, tone_match, seed):
    generator = torch.Generator().manual_seed(seed)
    height, width = torch.randint(1, 70, (2,), generator=generator).tolist()
    original = torch.rand(1, height, width, 3, generator=generator) * 1.2 - 0.1
    edited = torch.rand(1, height + seed % 8, width + (3 * seed) % 8, 3, generator=generator)
    matte = random_matte(generator, height, width)
    result = blend(edited, original, matte, mode, tone_match)
    assert torch.equal(result[matte == 0], original[matte == 0])
    assert result.isfinite().all() and result.shape == original.shape
    assert prove(result, original, matte).outside_max_abs_diff == 0


def test_linear_is_equation_10():
    edited, original, matte = (
        torch.rand(2, 20, 30, 3),
        torch.rand(2, 20, 30, 3),
        torch.rand(2, 20, 30),
    )
    weight = matte.unsqueeze(-1)
    expected = edited * weight + original * (1 - weight)
    assert torch.allclose(blend(edited, original, matte), expected, atol=1e-6)


def test_linear_gives_the_edit_exactly_where_the_matte_is_one():
    edited, original, matte = (
        torch.rand(1, 20, 30, 3),
        torch.rand(1, 20, 30, 3),
        torch.ones(1, 20, 30),
    )
    matte[:, :7] = 0.3
    assert torch.equal(blend(edited, original, matte)[:, 7:], edited[:, 7:])


def test_an_empty_matte_gives_the_original_and_a_full_one_the_edit(mode):
    edited, original = torch.rand(1, 33, 47, 3), torch.rand(1, 33, 47, 3)
    assert torch.equal(blend(edited, original, torch.zeros(1, 33, 47), mode), original)
    full = blend(edited, original, torch.ones(1, 33, 47), mode)
    if mode not in RESHAPING:
        assert not torch.allclose(full, edited, atol=0.1)
    else:
        assert torch.allclose(full, edited, atol=1e-3)


def test_an_unchanged_edit_gives_the_original(mode):
    original = torch.rand(1, 40, 40, 3)
    result = blend(original, original, random_matte(torch.Generator().manual_seed(2), 40, 40), mode)
    assert torch.equal(result, original)


def test_values_stay_in_range_where_something_changes(mode, tone_match):
    edited = torch.rand(1, 40, 40, 3) * 3 - 1
    matte = random_matte(torch.Generator().manual_seed(1), 40, 40)
    result = blend(edited, torch.rand(1, 40, 40, 3), matte, mode, tone_match)
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize(
    ("edits", "originals", "mattes"), [(3, 1, 1), (1, 3, 1), (1, 1, 3), (3, 3, 1)]
)
def test_a_batch_of_one_serves_all(mode, edits, originals, mattes):
    edited, original = torch.rand(edits, 24, 31, 3), torch.rand(originals, 24, 31, 3)
    generator = torch.Generator().manual_seed(0)
    matte = torch.cat([random_matte(generator, 24, 31) for _ in range(mattes)])
    result = blend(edited, original, matte, mode)
    assert len(result) == 3
    for k in range(3):
        alone = blend(edited[[k % edits]], original[[k % originals]], matte[[k % mattes]], mode)
        assert torch.equal(result[k], alone[0])


def test_batches_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="original has 3 pictures and edited has 2"):
        blend(torch.rand(2, 8, 8, 3), torch.rand(3, 8, 8, 3), torch.rand(1, 8, 8))
    with pytest.raises(ValueError, match="edited has 3 pictures and mask has 2"):
        blend(torch.rand(3, 8, 8, 3), torch.rand(3, 8, 8, 3), torch.rand(2, 8, 8))


def test_alpha_stays_the_originals(mode):
    original, matte = (
        torch.rand(1, 30, 30, 4),
        random_matte(torch.Generator().manual_seed(4), 30, 30),
    )
    for edited in (torch.rand(1, 30, 30, 3), torch.rand(1, 30, 30, 4)):
        result = blend(edited, original, matte, mode)
        assert torch.equal(result[..., 3], original[..., 3])
        assert torch.equal(result[matte == 0], original[matte == 0])


def test_a_gray_original_is_blended_as_rgb():
    result = blend(torch.rand(1, 9, 9, 3), torch.rand(1, 9, 9, 1), torch.rand(1, 9, 9))
    assert result.shape == (1, 9, 9, 3)


def test_a_mask_at_latent_size_is_resized():
    original = torch.rand(1, 64, 96, 3)
    matte = torch.zeros(1, 8, 12)
    matte[:, 2:6, 3:9] = 1
    result = blend(1 - original, original, matte)
    assert torch.equal(result[:, :8], original[:, :8])
    assert torch.equal(result[:, 28:36, 40:56], (1 - original)[:, 28:36, 40:56])


@pytest.mark.parametrize("hidden", [True, False])
def test_nan_in_the_edit_is_refused_also_where_the_matte_hides_it(hidden):
    edited, matte = torch.rand(1, 16, 16, 3), torch.zeros(1, 16, 16)
    edited[0, 3, 3, 1] = float("nan")
    matte[0, 3, 3] = not hidden
    with pytest.raises(ValueError, match="edited holds NaN"):
        blend(edited, torch.rand(1, 16, 16, 3), matte)


def test_an_edit_or_a_mask_of_another_size_is_refused_with_both_sizes():
    original = torch.rand(1, 32, 48, 3)
    with pytest.raises(ValueError, match="edited is 64 x 32 px but should be 48 x 32"):
        blend(torch.rand(1, 32, 64, 3), original, torch.rand(1, 32, 48))
    with pytest.raises(ValueError, match="mask is 32 x 32 px but the picture is 48 x 32"):
        blend(original, original, torch.rand(1, 32, 32))


@pytest.mark.parametrize("mode", sorted(set(BLENDS) - set(RESHAPING)))
def test_an_edit_of_another_size_gives_its_colours_where_the_detail_is_the_originals(mode):
    original = torch.rand(1, 32, 48, 3)
    small = torch.tensor([0.6, 0.3, 0.2]).expand(1, 16, 24, 3)
    whole = torch.ones(1, 64, 64)
    expected = blend(small[:, :1, :1].expand(1, 32, 48, 3), original, whole, mode)
    torch.testing.assert_close(blend(small, original, whole, mode), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="edited is 16 x 16 px but should be 48 x 32"):
        blend(small[:, :, :16], original, whole, mode)


def test_a_mask_of_one_value_fits_a_picture_of_any_shape(mode):
    """Solid Mask has a size of its own, which says nothing about the picture."""
    edited, original = torch.rand(2, 32, 48, 3), torch.rand(2, 32, 48, 3)
    solid = torch.tensor([1.0, 0.3]).view(2, 1, 1)
    result = blend(edited, original, solid.expand(2, 64, 64), mode)
    assert torch.equal(result, blend(edited, original, solid.expand(2, 32, 48), mode))
    assert prove(result, original, solid.expand(2, 64, 64)).mask_share == pytest.approx(0.65)


def test_padding_is_cut_off_in_every_mode(mode):
    original, matte = torch.rand(1, 40, 40, 3), torch.rand(1, 40, 40)
    edited = torch.rand(1, 44, 44, 3)
    assert torch.equal(
        blend(edited, original, matte, mode), blend(edited[:, :40, :40], original, matte, mode)
    )


def test_an_unknown_mode_is_refused_with_the_known_ones():
    picture, matte = torch.rand(1, 8, 8, 3), torch.rand(1, 8, 8)
    with pytest.raises(
        ValueError, match="mode is 'alpha'; it must be one of linear, laplacian, poisson"
    ):
        blend(picture, picture, matte, "alpha")
    with pytest.raises(ValueError, match="tone_match is 'rgb'; it must be one of off, lab"):
        blend(picture, picture, matte, tone_match="rgb")


def test_nothing_that_was_passed_in_is_changed(mode, tone_match):
    tensors = [torch.rand(1, 40, 40, 3), torch.rand(1, 40, 40, 3), torch.rand(1, 40, 40) * 2]
    before = [tensor.clone() for tensor in tensors]
    blend(*tensors, mode, tone_match)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


def test_progress_is_told_after_each_picture(mode):
    told = []
    picture = torch.rand(3, 12, 12, 3)
    blend(picture, picture, torch.rand(1, 12, 12), mode, progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_tone_match_takes_away_most_of_a_foreign_light():
    image, matte, edit = portrait()
    inside = matte[0] > 0.99
    wanted = rgb_to_lab(image.flip(2))[0][inside].mean(0)
    plain = rgb_to_lab(blend(edit, image, matte))[0][inside].mean(0)
    matched = rgb_to_lab(blend(edit, image, matte, tone_match="lab"))[0][inside].mean(0)
    assert (matched - wanted).norm() < 0.35 * (plain - wanted).norm()


def test_tone_match_leaves_an_edit_in_the_same_light_and_a_hard_matte_alone():
    image, matte, edit = portrait()
    assert torch.allclose(blend(image, image, matte, tone_match="lab"), image, atol=1e-4)
    hard = (matte > 0.5).float()
    assert torch.equal(blend(edit, image, hard, tone_match="lab"), blend(edit, image, hard))


def test_tone_is_matched_for_each_face_by_itself():
    image, matte, edit = portrait()
    pair, mattes = torch.cat([image, image * 0.5], 2), torch.cat([matte, matte], 2)
    together = blend(torch.cat([edit, edit], 2), pair, mattes, tone_match="lab")
    for side, alone in ((slice(160), image), (slice(160, 320), image * 0.5)):
        expected = blend(edit, alone, matte, tone_match="lab")
        assert torch.allclose(together[:, :, side], expected, atol=1e-5)


def test_laplacian_and_poisson_shift_the_ring_less_than_linear():
    image, matte, edit = portrait()
    shift = {
        mode: torch.tensor(
            prove(blend(edit, image, matte, mode), image, matte).ring_colour_shift
        ).norm()
        for mode in MODES
    }
    assert shift["poisson"] < 0.5 * shift["linear"] and shift["laplacian"] < shift["linear"]


def test_the_proof_finds_a_single_changed_value_outside():
    image, matte, edit = portrait()
    result = blend(edit, image, matte)
    result[0, 0, 0, 2] += 0.25
    proof = prove(result, image, matte)
    assert proof.outside_max_abs_diff == pytest.approx(0.25)
    assert "BACKGROUND CHANGED by up to 0.25" in proof.text()


def test_the_proof_checks_alpha():
    original, matte = torch.rand(1, 8, 8, 4), torch.zeros(1, 8, 8)
    result = original.clone()
    result[..., 3] = 1 - result[..., 3]
    assert prove(result, original, matte).outside_max_abs_diff > 0
    assert prove(result[..., :3], original, matte).outside_max_abs_diff == 0


def test_the_proof_measures_ring_mask_and_background():
    original = torch.full((1, 10, 10, 3), 0.5)
    matte = torch.zeros(1, 10, 10)
    matte[:, :2], matte[:, 2:4] = 1, 0.5
    result = original.clone()
    result[:, :4] = torch.tensor([0.6, 0.5, 0.5])
    proof = prove(result, original, matte)
    expected = rgb_to_lab(result[0, 3, 3]) - rgb_to_lab(original[0, 3, 3])
    assert proof.ring_colour_shift == pytest.approx(expected.tolist(), abs=1e-4)
    assert proof.mask_share == pytest.approx(0.3)
    assert proof.outside_pixels == 60


def test_the_proof_tells_changed_pixels_from_the_masks_mean():
    """A soft mask changes more pixels than its mean says, and an edit may change fewer."""
    original, edited = torch.zeros(1, 10, 10, 3), torch.full((1, 10, 10, 3), 0.4)
    matte = torch.zeros(1, 10, 10)
    matte[:, :2], matte[:, 2:6], matte[:, 6:7] = 1, 0.25, 0.001
    proof = prove(blend(edited, original, matte), original, matte)
    assert proof.mask_share == pytest.approx(0.3, abs=1e-3)
    assert proof.changed_share == pytest.approx(0.6)  # 0.0004 is no other 8-bit colour
    assert "60.0% of the pixels changed (the mask's mean is 30.0%)" in proof.text()
    assert json.loads(proof.json())["changed_share"] == proof.changed_share


def test_the_proof_of_a_batch_gives_each_picture_and_the_worst():
    original = torch.rand(2, 10, 12, 3)
    result, matte = original.clone(), torch.zeros(2, 10, 12)
    matte[1, :5] = 0.5
    result[1, 9, 9] += 0.5
    proof = prove(result, original, matte)
    assert [p.outside_max_abs_diff for p in proof.pictures] == [0, pytest.approx(0.5)]
    assert proof.outside_max_abs_diff == pytest.approx(0.5)
    assert proof.outside_pixels == 120 + 60
    report = json.loads(proof.json())
    assert report["outside_max_abs_diff"] == proof.outside_max_abs_diff
    assert len(report["pictures"]) == 2 and len(report["ring_colour_shift"]) == 3
    assert len(proof.text().splitlines()) == 2


def test_the_proof_of_a_full_matte_says_that_there_is_no_background():
    picture = torch.rand(1, 8, 8, 3)
    proof = prove(picture, picture, torch.ones(1, 8, 8))
    assert proof.outside_pixels == 0 and proof.outside_max_abs_diff == 0
    assert "no background" in proof.text()


def test_the_proof_refuses_pictures_of_two_sizes():
    with pytest.raises(ValueError, match="result is 8 x 9 px but original is 8 x 8 px"):
        prove(torch.rand(1, 9, 8, 3), torch.rand(1, 8, 8, 3), torch.rand(1, 8, 8))
