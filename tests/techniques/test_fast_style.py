"""Pictures and clips through a fast style network."""

import pytest
import torch
from visage.models.fast_style import FastStyle, built_in_styles, load_fast_style
from visage.techniques.fast_style import paint_fast


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = FastStyle((6, 6, 8), 2).eval()
    with torch.no_grad():
        made.deconv3.conv2d.bias += 128
        made.deconv3.conv2d.weight *= 60
    return made


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 150, 131, 3, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_tiles_equal_the_whole_picture(network, picture):
    # The statistics are the whole picture's either way, if that is not made smaller for them.
    from visage.techniques import fast_style as technique

    statistics, whole = technique._first_pass(network, picture[0], 1024)
    tiled = technique._painted(network, picture[0], statistics, 64)
    assert (tiled - whole).abs().max() < 1e-5


@pytest.mark.slow
def test_a_picture_in_tiles_is_painted_nearly_like_one_that_needs_none(photograph):
    path = built_in_styles()["starry_night (built in)"]
    picture, network = photograph("astronaut")[None], load_fast_style(path)
    whole, tiled = (paint_fast(picture, network, tile=tile) for tile in (512, 448))
    assert 0 < (whole - tiled).abs().mean() < 0.03


def test_strength_0_is_the_picture_and_1_the_networks(network, picture):
    assert torch.equal(paint_fast(picture, network, 0.0), picture)
    full, half = paint_fast(picture, network), paint_fast(picture, network, 0.5)
    assert torch.allclose(half, (full + picture) / 2, atol=1e-6)
    assert full.shape == picture.shape


def test_what_is_kept_stays(network, picture):
    keep = torch.zeros(1, 150, 131)
    keep[:, :70] = 1
    painted = paint_fast(picture, network, keep=keep, keep_strength=1.0)
    assert torch.equal(painted[:, :70], picture[:, :70])
    assert not torch.equal(painted[:, 70:], picture[:, 70:])


def test_a_clips_statistics_follow_slowly(network):
    dark, bright = torch.rand(2, 1, 64, 64, 3).unbind(0)
    frames = torch.cat([0.3 * dark, 0.3 * dark, 0.5 + 0.5 * bright])
    clip, single = paint_fast(frames, network), paint_fast(frames, network, is_clip=False)
    assert torch.allclose(clip[:2], single[:2], atol=1e-5)
    assert not torch.allclose(clip[2], single[2], atol=1e-2)
    assert torch.equal(single[2:], paint_fast(frames[2:], network))


def test_alpha_stays_and_gray_is_painted(network, picture):
    alpha = torch.rand(1, 150, 131, 1)
    assert torch.equal(paint_fast(torch.cat([picture, alpha], -1), network)[..., 3:], alpha)
    assert paint_fast(picture[..., :1], network).shape == picture.shape


@pytest.mark.parametrize(
    ("image", "given", "said"),
    [
        (torch.rand(1, 1, 1, 3), {}, "1 x 1 px"),
        (torch.full((1, 20, 20, 3), torch.nan), {}, "NaN"),
        ([torch.rand(20, 20, 3), torch.rand(24, 20, 3)], {}, "have one size"),
        (torch.rand(1, 20, 20, 3), {"colour": "sepia"}, "as the style"),
        (torch.rand(1, 20, 20, 3), {"keep": torch.rand(1, 20, 60)}, "aspect ratios differ"),
    ],
)
def test_bad_input_is_refused_in_words(network, image, given, said):
    with pytest.raises(ValueError, match=said):
        paint_fast(image, network, **given)
