"""Paintings from coarse to fine, whatever tells the style."""

import pytest
import torch
from visage.techniques.neural_style import (
    NeuralStyle,
    StylePicture,
    neural_style,
)
from visage.techniques.neural_style_pictures import MAX_SIDE
from visage.techniques.patch_painting import PatchPainter
from visage.techniques.style_patches import PatchSearch

PAINTER = PatchPainter(steps=2, search=PatchSearch(patch=5, samples=400, axes=12))


@pytest.fixture(scope="module")
def picture():
    """Soft forms, 72 x 96 px."""
    small = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, (72, 96), mode="bicubic")
    return large[0].movedim(0, -1).clamp(0, 1)


def stripes(vertical, colours=((0.9, 0.2, 0.1), (0.1, 0.1, 0.6)), side=64):
    """Stripes of two colours, 4 px wide."""
    which = (torch.arange(side) // 4) % 2
    field = which.expand(side, side) if vertical else which[:, None].expand(side, side)
    return torch.tensor(colours)[field]


def upright(painted):
    """How much more the picture changes across than down: above 1 in upright stripes."""
    grey = painted.mean(-1)
    return float(grey.diff(dim=1).abs().mean() / grey.diff(dim=0).abs().mean())


def test_the_painting_takes_strokes_and_colours_of_the_style(picture):
    up = neural_style(picture, [StylePicture(stripes(True))], PAINTER).picture
    across = neural_style(picture, [StylePicture(stripes(False))], PAINTER).picture
    assert up.shape == picture.shape
    assert upright(up) > 1.5 > 0.67 > upright(across)
    wanted = stripes(True).flatten(0, 1).mean(0)
    assert (up.flatten(0, 1).mean(0) - wanted).abs().max() < 0.1


def test_strength_0_is_the_picture_bit_for_bit(picture):
    result = neural_style(
        picture, [StylePicture(stripes(True))], PAINTER, NeuralStyle(strength=0.0)
    )
    assert torch.equal(result.picture, picture)


def test_strength_and_content_weight_lead_to_the_picture(picture):
    def distance(**settings):
        settings = NeuralStyle(colour="keep the picture's", **settings)
        painted = neural_style(picture, [StylePicture(stripes(True))], PAINTER, settings)
        return float((painted.picture - picture).square().mean())

    assert distance(strength=0.4) < distance(strength=0.8) < distance()
    assert distance(content_weight=15.0) < distance()
    assert distance(content_weight=15.0) == distance(content_weight=30.0, style_weight=2.0)


def test_what_is_kept_stays_nearer_to_the_picture(picture):
    keep = torch.zeros(72, 96)
    keep[:, :48] = 1
    settings = NeuralStyle(colour="keep the picture's", keep_strength=1.0)
    styles = [StylePicture(stripes(True))]
    kept = neural_style(picture, styles, PAINTER, settings, keep).picture
    free = neural_style(picture, styles, PAINTER, settings).picture
    difference = [(painted - picture)[:, :40].square().mean() for painted in (kept, free)]
    assert difference[0] < 0.5 * difference[1]
    assert not torch.equal(kept[:, :40], picture[:, :40])


def test_regions_have_styles_of_their_own_and_the_rest_is_untouched(picture):
    left, right = torch.zeros(72, 96), torch.zeros(72, 96)
    left[:, :40], right[:, 56:] = 1, 1
    styles = [StylePicture(stripes(True), 1, left), StylePicture(stripes(False), 1, right)]
    painted = neural_style(picture, styles, PAINTER).picture
    assert upright(painted[:, :34]) > 1.3 > 0.77 > upright(painted[:, 62:])
    assert torch.equal(painted[:, 40:56], picture[:, 40:56])


def test_a_region_of_zeros_is_the_picture_bit_for_bit(picture):
    styles = [StylePicture(stripes(True), 1, torch.zeros(72, 96))]
    assert torch.equal(neural_style(picture, styles, PAINTER).picture, picture)


def test_styles_of_one_region_are_mixed_in_it_as_in_a_whole_picture(picture):
    def painted(*regions):
        paintings = (stripes(True), stripes(False))
        styles = [
            StylePicture(image, weight, region)
            for image, weight, region in zip(paintings, (1, 3), regions, strict=True)
        ]
        return neural_style(picture, styles, PAINTER).picture

    assert torch.equal(painted(torch.ones(72, 96), torch.ones(72, 96)), painted(None, None))


def test_luminance_only_leaves_every_colour(picture):
    settings = NeuralStyle(colour="luminance only")
    painted = neural_style(picture, [StylePicture(stripes(True))], PAINTER, settings).picture
    # Differences of channels are what I and Q are made of; clipping moves a few.
    moved = ((painted - picture).diff(dim=-1)).abs()
    assert moved.median() < 1e-5
    assert (painted - picture).abs().mean() > 0.02


def test_the_same_seed_paints_the_same(picture):
    styles = [StylePicture(stripes(True))]
    one, two, three = (
        neural_style(picture, styles, PAINTER, NeuralStyle(seed=seed)).picture for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_ending_early_keeps_the_picture_so_far(picture):
    seen = []

    def progress(done, total, so_far, loss):
        seen.append((done, total))
        return done == 3

    result = neural_style(picture, [StylePicture(stripes(True))], PAINTER, progress=progress)
    assert result.ended_early
    assert [done for done, _ in seen] == [1, 2, 3]
    assert seen[0][1] > 3
    assert len(result.losses) == 3
    assert result.picture.shape == picture.shape
    assert not torch.equal(result.picture, picture)


def test_size_and_alpha(picture):
    alpha = torch.linspace(0, 1, 72)[:, None, None].expand(72, 96, 1)
    image = torch.cat([picture, alpha], -1)
    styles = [StylePicture(stripes(True))]
    assert torch.equal(neural_style(image, styles, PAINTER).picture[..., 3:], alpha)
    larger = neural_style(image, styles, PAINTER, NeuralStyle(size=128)).picture
    assert larger.shape == (96, 128, 4)


def test_gray_pictures_are_painted(picture):
    gray = picture.mean(-1, keepdim=True)
    assert neural_style(gray, [StylePicture(stripes(True))], PAINTER).picture.shape[-1] == 3


@pytest.mark.parametrize("size", [(17, 71), (64, 16), (33, 33)])
def test_odd_sizes(size):
    picture = torch.rand(*size, 3)
    painted = neural_style(picture, [StylePicture(stripes(True))], PAINTER).picture
    assert painted.shape == picture.shape
    assert painted.isfinite().all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": torch.rand(1, 1, 3)}, "1 x 1 px"),
        ({"image": torch.full((32, 32, 3), torch.nan)}, "NaN"),
        ({"image": [torch.rand(20, 20, 3), torch.rand(24, 20, 3)]}, "have one size"),
        ({"image": torch.rand(20, MAX_SIDE + 1, 3)}, "4096"),
        ({"style": torch.rand(8, 40, 3)}, "smaller than a brush stroke"),
        ({"style": torch.full((40, 40, 3), 0.5)}, "one colour only"),
        ({"region": torch.rand(32, 80)}, "aspect ratios differ"),
        ({"keep": torch.rand(32, 80)}, "keep is 80 x 32 px"),
        ({"settings": NeuralStyle(colour="sepia")}, "as the style"),
        ({"settings": NeuralStyle(size=16000)}, "limit is 4096"),
        ({"weight": 0.0}, "weight 0"),
    ],
)
def test_bad_input_is_refused_in_words(changed, said):
    given = {"image": torch.rand(32, 32, 3), "style": stripes(True), "weight": 1.0} | changed
    style = StylePicture(given["style"], given["weight"], given.get("region"))
    with pytest.raises(ValueError, match=said):
        neural_style(given["image"], [style], PAINTER, given.get("settings"), given.get("keep"))


def test_no_style_is_refused():
    with pytest.raises(ValueError, match="no style picture"):
        neural_style(torch.rand(32, 32, 3), [], PAINTER)
