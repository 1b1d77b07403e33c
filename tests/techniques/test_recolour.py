import pytest
import torch
from visage.techniques.lab import rgb_to_lab
from visage.techniques.recolour import parse_colour, recolour


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


@pytest.mark.parametrize(
    "text",
    ["#ff8000", "#FF8000", " #ff8000 ", "#f80", "rgb(255, 128, 0)", "#ff8000cc", "darkorange"],
)
def test_a_colour_is_digits_or_a_name(text):
    assert parse_colour(text) == pytest.approx((1.0, 0.5, 0.0), abs=0.05)


@pytest.mark.parametrize("text", ["", "#12345", "colour of rust", "#gggggg", "0x112233"])
def test_what_is_no_colour_is_refused(hair, text):
    with pytest.raises(ValueError, match='such as "#7a3a22", or a name'):
        recolour(*hair, text)
