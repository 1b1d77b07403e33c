"""AdaIN of latents: whose statistics the result has, where, and what stays as it was."""

import pytest
import torch
from visage.techniques.latent_adain import channel_statistics, latent_adain


def latents(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator) + torch.randn(
        *shape[:2], 1, 1, generator=generator
    )


@pytest.fixture
def content():
    return latents(2, 4, 5, 7)


@pytest.fixture
def style():
    return latents(1, 4, 9, 6, seed=1)


@pytest.fixture
def left():
    mask = torch.zeros(1, 1, 5, 7)
    mask[..., :3] = 1
    return mask


def test_the_result_has_the_styles_mean_and_spread(content, style):
    for part in zip(
        channel_statistics(latent_adain(content, style)), channel_statistics(style), strict=True
    ):
        assert torch.allclose(*(value.expand(2, -1, -1, -1) for value in part), atol=1e-4)


def test_it_is_the_content_up_to_gain_and_offset(content, style):
    result = latent_adain(content, style)

    def normal(x):
        mean, spread = channel_statistics(x)
        return (x - mean) / spread

    assert torch.allclose(normal(result), normal(content), atol=1e-4)


def test_strength_mixes_and_zero_is_the_content_to_the_bit(content, style):
    full, half = latent_adain(content, style), latent_adain(content, style, 0.5)
    assert torch.allclose(half, (full + content) / 2, atol=1e-5)
    assert torch.equal(latent_adain(content, style, 0.0), content)


def test_only_the_masked_part_is_measured_and_changed(content, style, left):
    result = latent_adain(content, style, content_mask=left)
    assert torch.equal(result[..., 3:], content[..., 3:])
    assert torch.allclose(result[..., :3], latent_adain(content[..., :3], style), atol=1e-5)


def test_an_empty_content_mask_leaves_the_content(content, style):
    empty = torch.zeros(1, 1, 5, 7)
    assert torch.equal(latent_adain(content, style, content_mask=empty), content)


def test_a_style_mask_leaves_out_the_rest_of_the_style(content, style):
    mask = torch.zeros(1, 1, 9, 6)
    mask[:, :, :4] = 1
    expected = latent_adain(content, style[:, :, :4])
    assert torch.allclose(latent_adain(content, style, style_mask=mask), expected, atol=1e-5)
    with pytest.raises(ValueError, match="nothing of the style"):
        latent_adain(content, style, style_mask=torch.zeros(1, 1, 9, 6))


def test_one_content_in_several_styles(content, style):
    styles = torch.cat((style, latents(1, 4, 9, 6, seed=2)))
    result = latent_adain(content[:1], styles)
    assert torch.allclose(result[1:], latent_adain(content[:1], styles[1:]), atol=1e-6)


def test_a_flat_channel_stays_finite(style):
    assert latent_adain(torch.zeros(1, 4, 5, 7), style).isfinite().all()


def test_what_does_not_match_is_refused(content, style):
    with pytest.raises(ValueError, match=r"4 channels.*16"):
        latent_adain(content, latents(1, 16, 5, 7))
    with pytest.raises(ValueError, match=r"2 pictures.*3"):
        latent_adain(content, style.expand(3, -1, -1, -1))
