"""Pictures and clips in any style, by the statistics of features."""

from dataclasses import replace

import pytest
import torch
from visage.models.adain import load_pair, new_pair
from visage.models.starter_files import starter_file
from visage.techniques.adain_style import AdaINStyle, adain, paint_adain, statistics
from visage.techniques.colour_transfer import luminance, match_colours, with_luminance
from visage.techniques.neural_style import StylePicture
from visage.techniques.optical_flow import warping_error


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    made = new_pair((6, 8, 12), (2, 1, 1))
    with torch.no_grad():
        # PyTorch's own start lets signals fade from layer to layer.
        for name, value in (made.encoder + made.decoder).named_parameters():
            value.mul_(2.5 if name.endswith("weight") else 1.0)
        made.decoder[-1].weight *= 0.3
        made.decoder[-1].bias += 0.5
    return made


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 75, 94, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def paintings():
    generator = torch.Generator().manual_seed(2)
    first = torch.rand(60, 50, 3, generator=generator) * torch.tensor([1.0, 0.5, 0.2])
    return first, torch.rand(50, 64, 3, generator=generator) ** 3


def test_adain_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 9, 7, generator=generator, dtype=torch.float64)
    y = 3 + 2 * torch.randn(1, 5, 8, 6, generator=generator, dtype=torch.float64)
    result = adain(x, statistics(x), statistics(y))
    for channel in range(5):
        one, other = x[0, channel], y[0, channel]
        deviation = (other.var() + 1e-5).sqrt() / (one.var() + 1e-5).sqrt()
        expected = deviation * (one - one.mean()) + other.mean()
        assert (result[0, channel] - expected).abs().max() < 1e-12


def test_weighed_statistics_of_a_region_are_those_of_its_pixels():
    x = torch.randn(1, 4, 10, 10)
    weights = torch.zeros(1, 1, 10, 10)
    weights[..., :4] = 1
    mean, deviation = statistics(x, weights)
    inside = x[..., :4].flatten(2)
    assert torch.allclose(mean.flatten(), inside.mean(2).flatten(), atol=1e-6)
    assert torch.allclose(
        deviation.flatten(), (inside.var(2, correction=0) + 1e-5).sqrt().flatten(), atol=1e-5
    )


def test_tiles_equal_the_whole_picture(pair, picture, paintings):
    styles = [StylePicture(paintings[0])]
    whole = paint_adain(picture, styles, pair, AdaINStyle(tile=512))
    tiled = paint_adain(picture, styles, pair, AdaINStyle(tile=32))
    assert (whole - tiled).abs().max() < 1e-5


def test_alpha_0_is_the_picture_bit_for_bit(pair, picture, paintings):
    styles = [StylePicture(paintings[0])]
    assert torch.equal(paint_adain(picture, styles, pair, AdaINStyle(alpha=0.0)), picture)
    near, far = (
        (paint_adain(picture, styles, pair, AdaINStyle(alpha=alpha)) - picture).abs().mean()
        for alpha in (0.2, 1.0)
    )
    assert near != far


def test_styles_are_mixed_by_weight(pair, picture, paintings):
    def mixed(*weights):
        styles = [
            StylePicture(paint, weight) for paint, weight in zip(paintings, weights, strict=True)
        ]
        return paint_adain(picture, styles, pair)

    alone = paint_adain(picture, [StylePicture(paintings[0])], pair)
    assert torch.equal(mixed(1, 0), alone)
    assert torch.allclose(mixed(1, 1), mixed(3, 3), atol=1e-6)
    assert not torch.allclose(mixed(1, 1), alone, atol=1e-3)


def test_what_no_region_covers_stays_bit_for_bit(pair, picture, paintings):
    region = torch.zeros(75, 94)
    region[:, :40] = 1
    painted = paint_adain(picture, [StylePicture(paintings[0], region=region)], pair)
    assert torch.equal(painted[:, :, 40:], picture[:, :, 40:])
    assert not torch.equal(painted[:, :, :40], picture[:, :, :40])
    nothing = [StylePicture(paintings[0], region=torch.zeros(75, 94))]
    assert torch.equal(paint_adain(picture, nothing, pair), picture)


def test_each_region_has_its_style(pair, picture, paintings):
    left = torch.zeros(75, 94)
    left[:, :48] = 1
    both = paint_adain(
        picture, [StylePicture(paintings[0], region=left), StylePicture(paintings[1])], pair
    )
    one = paint_adain(picture, [StylePicture(paintings[0], region=left)], pair)
    # The decoder's reach is 12 px here; farther from the seam only the region's own style counts.
    assert torch.allclose(both[:, :, :32], one[:, :, :32], atol=1e-5)
    assert not torch.allclose(both[:, :, 64:], one[:, :, 64:], atol=1e-2)


def test_a_picture_of_several_regions_is_encoded_once(pair, picture, paintings):
    left = torch.zeros(1, 75, 94)
    left[..., :40] = 1
    styles = [StylePicture(paintings[0], region=left), StylePicture(paintings[1])]
    seen = []
    hook = pair.encoder.register_forward_hook(lambda *_: seen.append(1))
    try:
        paint_adain(picture, styles, pair)
    finally:
        hook.remove()
    assert len(seen) == len(styles) + 1


def test_who_is_kept_stays(pair, picture, paintings):
    keep = torch.zeros(1, 75, 94)
    keep[:, :30] = 1
    styles = [StylePicture(paintings[0])]
    painted = paint_adain(picture, styles, pair, AdaINStyle(keep_strength=1.0), keep)
    assert torch.equal(painted[:, :30], picture[:, :30])
    assert not torch.equal(painted[:, 30:], picture[:, 30:])


def test_a_pair_that_paints_light_takes_its_colours_from_matching(pair, picture, paintings):
    light = replace(pair, paints_light=True)
    painted = paint_adain(picture, [StylePicture(paintings[0])], light)[0]
    matched = match_colours(picture[0], paintings[0])
    inside = ((painted > 0) & (painted < 1)).all(-1)
    assert inside.float().mean() > 0.2
    expected = with_luminance(matched, luminance(painted))
    assert torch.allclose(painted[inside], expected[inside], atol=1e-5)


def test_the_built_in_pair_gives_a_photograph_a_paintings_palette(photograph):
    built_in = load_pair(starter_file("adain"))
    picture, style = photograph("astronaut")[::4, ::4], photograph("coffee")[::3, ::3]
    painted = paint_adain(picture[None], [StylePicture(style)], built_in)[0]
    before, after = ((part.mean((0, 1)) - style.mean((0, 1))).norm() for part in (picture, painted))
    assert after < 0.3 * before
    forms = torch.stack([luminance(part).flatten() for part in (picture, painted)])
    assert torch.corrcoef(forms)[0, 1] > 0.8


@pytest.mark.parametrize("colour", ["keep the picture's", "luminance only"])
def test_colours_are_kept(pair, picture, paintings, colour):
    styles = [StylePicture(paintings[0])]
    dyed = paint_adain(picture, styles, pair, AdaINStyle(colour=colour))
    assert dyed.isfinite().all()
    if colour == "luminance only":
        chroma = (dyed - picture).std(-1)
        # Red, green and blue move together but where they are clipped.
        assert chroma.median() < 1e-6


def test_a_clip_follows_slowly_and_does_not_flicker(pair, paintings):
    generator = torch.Generator().manual_seed(3)
    wide = torch.rand(1, 20, 24, 3, generator=generator)
    wide = torch.nn.functional.interpolate(wide.movedim(-1, 1), (80, 96), mode="bicubic")
    frame = wide.movedim(1, -1).clamp(0, 1)
    light = torch.tensor([1.0, 0.8, 1.0, 0.8])[:, None, None, None]
    frames = (frame * light).clamp(0, 1)
    styles = [StylePicture(paintings[0])]
    clip = paint_adain(frames, styles, pair)
    single = paint_adain(frames, styles, pair, is_clip=False)
    assert torch.equal(clip[0], single[0])
    assert not torch.equal(clip[1], single[1])
    assert warping_error(clip, frames) < 10 * warping_error(frames, frames)
    assert torch.equal(single[2], paint_adain(frames[2:3], styles, pair)[0])


def test_alpha_channel_stays_and_gray_is_painted(pair, picture, paintings):
    styles = [StylePicture(paintings[0])]
    alpha = torch.rand(1, 75, 94, 1)
    assert torch.equal(paint_adain(torch.cat([picture, alpha], -1), styles, pair)[..., 3:], alpha)
    assert paint_adain(picture[..., :1], styles, pair).shape == picture.shape
    assert paint_adain(picture[:, :, :93], styles, pair).shape == (1, 75, 93, 3)


@pytest.mark.parametrize(
    ("image", "style", "given", "said"),
    [
        (torch.rand(1, 1, 1, 3), None, {}, "1 x 1 px"),
        (torch.rand(1, 16, 16000, 3), None, {}, "16000 x 16 px and the limit is 4096"),
        (torch.full((1, 20, 20, 3), torch.nan), None, {}, "NaN"),
        ([torch.rand(20, 20, 3), torch.rand(24, 20, 3)], None, {}, "have one size"),
        (torch.rand(1, 20, 20, 3), torch.rand(4, 4, 3), {}, "smaller than a brush stroke"),
        (torch.rand(1, 20, 20, 3), torch.full((20, 20, 3), 0.3), {}, "one colour only"),
        (torch.rand(1, 20, 20, 3), None, {"region": torch.rand(20, 60)}, "aspect ratios differ"),
        (torch.rand(1, 20, 20, 3), None, {"region": torch.ones(3, 20, 20)}, "region 1"),
        (torch.rand(1, 20, 20, 3), None, {"weight": 0}, "weight above 0"),
    ],
)
def test_bad_input_is_refused_in_words(pair, paintings, image, style, given, said):
    with pytest.raises(ValueError, match=said):
        paint_adain(image, [StylePicture(paintings[0] if style is None else style, **given)], pair)


def test_unknown_colours_are_refused(pair, picture, paintings):
    with pytest.raises(ValueError, match="as the style"):
        paint_adain(picture, [StylePicture(paintings[0])], pair, AdaINStyle(colour="sepia"))
