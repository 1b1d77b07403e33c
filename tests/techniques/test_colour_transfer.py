"""Colours given from one picture to another, and kept."""

import torch
from visage.techniques.colour_transfer import (
    RGB_TO_YIQ,
    as_grey,
    luminance,
    match_colours,
    with_luminance,
)


def moments(picture):
    flat = picture.reshape(-1, 3).double()
    return flat.mean(0), torch.cov(flat.T)


def test_mean_and_covariance_become_the_others():
    generator = torch.Generator().manual_seed(0)
    picture = 0.4 + 0.1 * torch.rand(40, 50, 3, generator=generator)
    other = torch.rand(30, 30, 3, generator=generator) * torch.tensor([0.3, 0.1, 0.2]) + 0.35
    mean, spread = moments(match_colours(picture, other))
    wanted_mean, wanted_spread = moments(other)
    assert torch.allclose(mean, wanted_mean, atol=1e-4)
    assert torch.allclose(spread, wanted_spread, atol=1e-4)


def test_a_picture_matched_to_itself_stays():
    picture = torch.rand(20, 20, 3)
    assert torch.allclose(match_colours(picture, picture), picture, atol=1e-5)


def test_another_luminance_leaves_i_and_q():
    picture = 0.3 + 0.3 * torch.rand(20, 20, 3)
    changed = with_luminance(picture, luminance(picture) + 0.1)
    before, after = (part.double() @ RGB_TO_YIQ.T for part in (picture, changed))
    assert torch.allclose(after[..., 0], before[..., 0] + 0.1, atol=1e-5)
    # The published matrix is rounded to three digits.
    assert torch.allclose(after[..., 1:], before[..., 1:], atol=1e-3)


def test_grey_has_the_others_light():
    grey = as_grey(torch.rand(30, 30, 3), 0.4 + 0.2 * torch.rand(30, 30, 3))
    assert torch.equal(grey[..., 0], grey[..., 2])
    assert 0.4 < grey.mean() < 0.6
