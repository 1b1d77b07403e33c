import pytest
import torch
from visage.techniques.detail_blend import colour_blend, detail_blend, follow_edges, tone_blend
from visage.techniques.lab import lab_to_rgb, rgb_to_lab
from visage.techniques.soft_mask import gaussian_blur

SKIN, WALL = torch.tensor([65.0, 15.0, 20.0]), torch.tensor([95.0, 0.0, 2.0])


@pytest.fixture
def strands():
    """A gray picture [64, 64, 3] with fine stripes, and a matte [64, 64] of its middle."""
    x = torch.arange(64).expand(64, 64)
    original = (0.35 + 0.1 * (x % 4 < 2)).unsqueeze(-1).expand(64, 64, 3).contiguous()
    matte = torch.zeros(64, 64)
    matte[16:48, 16:48] = 1
    return original, matte


def recoloured(lightness: float) -> torch.Tensor:
    return lab_to_rgb(torch.tensor([lightness, 30.0, 25.0]).expand(64, 64, 3))


def test_colour_takes_the_hue_and_keeps_the_lightness(strands):
    original, _ = strands
    result = rgb_to_lab(colour_blend(recoloured(60), original, torch.ones(64, 64)))
    torch.testing.assert_close(result[..., 0], rgb_to_lab(original)[..., 0], rtol=0, atol=0.01)
    torch.testing.assert_close(
        result[..., 1:], torch.tensor([30.0, 25.0]).expand(64, 64, 2), rtol=0, atol=0.1
    )


def test_detail_takes_the_light_of_the_edit_and_keeps_the_strands(strands):
    original, matte = strands
    result = rgb_to_lab(detail_blend(recoloured(55), original, matte))[24:40, 24:40]
    before = rgb_to_lab(original)[24:40, 24:40]
    assert result[..., 0].mean() == pytest.approx(55, abs=0.5)
    assert result[..., 0].std() == pytest.approx(before[..., 0].std().item(), rel=0.05)
    assert result[..., 1].mean() == pytest.approx(30, abs=0.5)


def test_tone_moves_the_whole_and_leaves_small_things_their_colour(strands):
    original, matte = strands
    eye = (slice(31, 33), slice(31, 33))
    original = original.clone()
    original[eye] = torch.tensor([0.1, 0.2, 0.8])
    result, before = rgb_to_lab(tone_blend(recoloured(55), original, matte)), rgb_to_lab(original)
    skin = (slice(20, 24), slice(20, 44))
    assert result[skin][..., 0].mean() == pytest.approx(55, abs=2)
    assert result[skin][..., 1].mean() == pytest.approx(30, abs=4)
    # As much bluer than its surroundings as it was, where `detail` would give it the edit's colour.
    contrast = before[eye][..., 2].mean() - before[skin][..., 2].mean()
    kept = result[eye][..., 2].mean() - result[skin][..., 2].mean()
    assert kept == pytest.approx(contrast.item(), rel=0.3)


def test_tone_moves_a_part_as_a_whole_where_the_edit_is_patchy(strands):
    """A painted skin that is dark in its middle alone would look like a shadow."""
    _, matte = strands
    original = torch.full((64, 64, 3), 0.6)
    x = torch.linspace(-3, 3, 64)
    patch = torch.exp(-(x[:, None].square() + x.square()))
    edited = lab_to_rgb(rgb_to_lab(original) - patch.unsqueeze(-1) * torch.tensor([30.0, 0, 0]))
    changes = [
        rgb_to_lab(picture) - rgb_to_lab(original)
        for picture in (edited, tone_blend(edited, original, matte))
    ]
    painted, blended = (change[16:48, 16:48, 0] for change in changes)
    assert painted.max() > 0.02 * painted.min()
    assert blended.max() < 0.3 * blended.min()
    assert blended.mean() == pytest.approx(painted.mean().item(), rel=0.2)


@pytest.mark.parametrize("mode", [colour_blend, detail_blend, tone_blend])
def test_a_soft_matte_gives_no_halo_beside_an_edge(mode):
    """Half white, half skin; the matte is blurred over the edge by a few pixels."""
    original = torch.ones(64, 64, 3)
    original[:, :32] = lab_to_rgb(torch.tensor([65.0, 15.0, 20.0]))
    sharp = torch.zeros(64, 64)
    sharp[8:56, 8:32] = 1
    matte = gaussian_blur(sharp[None], 3.0)[0]
    change = (mode(recoloured(35), original, matte) - original).abs().sum(-1)
    assert change[32, 32:].max() < 0.1 * change[32, 20]
    assert change[32, 26] > 0.95 * matte[32, 26] * change[32, 20]


@pytest.mark.parametrize("mode", [detail_blend, tone_blend])
def test_what_lies_beside_the_edit_does_not_bleed_in(strands, mode):
    original, matte = strands
    edited = recoloured(55)
    beside = torch.where(matte.unsqueeze(-1) > 0, edited, torch.zeros(3))
    assert torch.equal(mode(edited, original, matte), mode(beside, original, matte))


def test_a_large_picture_changes_as_a_small_one_does():
    """A wide Gaussian works on a smaller copy."""
    x = torch.linspace(0, 1, 256).expand(192, 256)
    original = torch.stack([0.5 + 0.2 * x, 0.5 - 0.1 * x, 0.4 + 0 * x], -1)
    edited = torch.stack([0.3 + 0.3 * x.square(), 0.4 + 0.2 * x, 0.7 - 0.3 * x], -1)
    small = tone_blend(edited, original, torch.ones(192, 256))
    double = [plane.repeat_interleave(4, 0).repeat_interleave(4, 1) for plane in (edited, original)]
    large = tone_blend(*double, torch.ones(768, 1024))
    torch.testing.assert_close(large[2::4, 2::4], small, rtol=0, atol=4e-3)


def test_a_faint_matte_smooths_as_far_as_a_full_one(strands):
    original, matte = strands
    full = tone_blend(recoloured(55), original, matte) - original
    faint = tone_blend(recoloured(55), original, matte * 0.3) - original
    torch.testing.assert_close(faint, full * 0.3, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", [colour_blend, detail_blend, tone_blend])
def test_the_original_as_its_own_edit_stays(strands, mode):
    original, matte = strands
    torch.testing.assert_close(mode(original, original, matte), original, rtol=0, atol=2e-5)


def test_a_flat_plane_stays_flat_under_the_gaussian():
    flat = torch.full((1, 20, 30), 0.7)
    torch.testing.assert_close(gaussian_blur(flat, 4.0), flat)
    assert gaussian_blur(flat, 0) is flat


@pytest.fixture
def half():
    """L*a*b* [64, 64, 3] of skin on the left and a wall on the right, and a matte over the edge."""
    picture = WALL.expand(64, 64, 3).clone()
    picture[:, :32] = SKIN
    sharp = torch.zeros(64, 64)
    sharp[12:52, 8:32] = 1
    return picture, gaussian_blur(sharp[None], 4.0)[0]


def test_what_the_outside_looks_like_leaves_the_matte(half):
    picture, matte = half
    result = follow_edges(matte, picture)
    assert (result[32, 33:40] < 0.25 * matte[32, 33:40]).all()
    assert (result[32, 14:31] > 0.97 * matte[32, 14:31]).all()


def test_no_value_grows_and_nothing_stays_nothing(half):
    picture, matte = half
    picture = picture + torch.randn(picture.shape) * 10
    result = follow_edges(matte, picture)
    assert (result <= matte).all()
    assert (result >= 0).all()
    assert torch.equal(follow_edges(torch.zeros(64, 64), picture), torch.zeros(64, 64))


@pytest.mark.parametrize("sharp", [True, False])
def test_a_flat_picture_changes_no_matte(half, sharp):
    _, matte = half
    matte = (matte > 0.5).float() if sharp else matte
    torch.testing.assert_close(follow_edges(matte, SKIN.expand(64, 64, 3)), matte)


def test_a_matte_of_all_the_picture_stays(half):
    picture = half[0] + torch.randn(64, 64, 3) * 20
    assert torch.equal(follow_edges(torch.ones(64, 64), picture), torch.ones(64, 64))


def test_a_faint_matte_follows_as_a_full_one_does(half):
    picture, matte = half
    torch.testing.assert_close(
        follow_edges(matte * 0.2, picture), follow_edges(matte, picture) * 0.2
    )


def test_a_large_picture_is_cut_as_a_small_one():
    """A wide window works on a smaller copy."""
    picture = WALL.expand(240, 320, 3).clone()
    picture[:, :160] = SKIN
    matte = torch.zeros(240, 320)
    matte[40:200, 40:160] = 1
    matte = gaussian_blur(matte[None], 8.0)[0]
    double = [plane.repeat_interleave(4, 0).repeat_interleave(4, 1) for plane in (matte, picture)]
    large = follow_edges(*double)
    torch.testing.assert_close(large[2::4, 2::4], follow_edges(matte, picture), rtol=0, atol=0.05)
