import pytest
import torch
from visage.techniques.lab import rgb_to_lab
from visage.techniques.recolour import parse_colour, recolour
from visage.techniques.soft_mask import soften


@pytest.fixture
def hair():
    """Brown stripes before a grey wall [1, 64, 64, 3], and their mask [1, 64, 64]."""
    image = torch.full((1, 64, 64, 3), 0.8)
    strands = torch.tensor([0.45, 0.3, 0.2]) * (0.8 + 0.4 * torch.rand(48, 1))
    image[:, 8:56, 8:56] = strands.unsqueeze(1)
    mask = torch.zeros(1, 64, 64)
    mask[:, 8:56, 8:56] = 1
    return image, mask


def test_the_mean_becomes_the_colour_and_every_contrast_stays(hair):
    image, mask = hair
    inside = mask[0] > 0
    before = rgb_to_lab(image[0])[inside]
    after = rgb_to_lab(recolour(image, mask, "#33598c")[0])[inside]
    wanted = rgb_to_lab(torch.tensor(parse_colour("#33598c")))
    torch.testing.assert_close(after.mean(0), wanted, rtol=0, atol=2.5)
    torch.testing.assert_close(after.std(0), before.std(0), rtol=0.15, atol=0.5)


def test_outside_the_mask_nothing_changes(hair):
    image, mask = hair
    result = recolour(image, mask, "teal")
    outside = mask[0] == 0
    assert torch.equal(result[0][outside], image[0][outside])


def test_strength_0_is_the_picture_itself_and_a_half_goes_half_way(hair):
    image, mask = hair
    assert torch.equal(recolour(image, mask, "teal", 0.0), image)
    whole, half = (recolour(image, mask, "teal", strength) - image for strength in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2, rtol=0, atol=1e-5)


def test_an_alpha_channel_stays(hair):
    image, mask = hair
    alpha = torch.rand(1, 64, 64, 1)
    result = recolour(torch.cat([image, alpha], -1), mask, "teal")
    assert torch.equal(result[..., 3:], alpha)


def test_a_soft_mask_that_reaches_too_far_gives_the_part_its_colour_and_no_rim(hair):
    """Dark hair before a light wall, made blond."""
    image, mask = hair
    image = image.clone()
    image[mask > 0] *= 0.4
    soft = soften(mask, 2.0, 2)
    result = rgb_to_lab(recolour(image, soft, "#b9935c")[0])
    wanted = rgb_to_lab(torch.tensor(parse_colour("#b9935c")))
    torch.testing.assert_close(result[14:50, 14:50].mean((0, 1)), wanted, rtol=0, atol=4)
    before = rgb_to_lab(image[0])[..., 0]
    ring = (soft[0] > 0) & (soft[0] < 0.85)
    highest = torch.maximum(before, wanted[0])
    assert (result[..., 0][ring] <= highest[ring] + 1).all()


def test_a_wide_contrast_stays_too():
    ramp = torch.linspace(0.4, 0.6, 64).view(1, 1, 64, 1).expand(1, 64, 64, 3)
    result = rgb_to_lab(recolour(ramp, torch.ones(1, 64, 64), "#607080")[0])[..., 0]
    before = rgb_to_lab(ramp[0])[..., 0]
    torch.testing.assert_close(result - result.mean(), before - before.mean(), rtol=0, atol=0.1)


def test_pictures_and_masks_must_be_as_many(hair):
    image, mask = hair
    with pytest.raises(ValueError, match="image has 3 pictures and mask has 2"):
        recolour(image.expand(3, -1, -1, -1), mask.expand(2, -1, -1), "teal")


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_beyond_the_whole_change_is_refused(hair, strength):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        recolour(*hair, "teal", strength)


@pytest.mark.parametrize(
    "text",
    ["#ff8000", "#FF8000", " #ff8000 ", "#f80", "ff8000", "rgb(255, 128, 0)", "darkorange"],
)
def test_a_colour_is_digits_or_a_name(text):
    assert parse_colour(text) == pytest.approx((1.0, 0.5, 0.0), abs=0.05)


@pytest.mark.parametrize(
    "text", ["", "#12345", "rust", "#gggggg", "0x112233", "rgb(300,0,0)", "#7a3a22ff", None]
)
def test_what_is_no_colour_is_refused(hair, text):
    with pytest.raises(ValueError, match='such as "#7a3a22", or a name'):
        recolour(*hair, text)
