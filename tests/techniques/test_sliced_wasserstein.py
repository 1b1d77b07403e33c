"""Distances between distributions of patches."""

import pytest
import torch
from visage.techniques.sliced_wasserstein import PatchDistribution


def distribution(picture):
    return PatchDistribution(picture, torch.Generator().manual_seed(0))


def test_a_picture_is_nearer_to_itself_moved_than_to_another():
    generator = torch.Generator().manual_seed(0)
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64)

    def grained(picture):
        return picture + 0.05 * torch.rand(1, 3, 64, 64, generator=generator)

    wanted = distribution(grained(stripes))
    moved = wanted.distance(grained(stripes.roll(8, 3)))
    turned = wanted.distance(grained(stripes.transpose(2, 3)))
    flat = wanted.distance(grained(torch.full((1, 3, 64, 64), 0.5)))
    assert moved < 0.5 * turned
    assert moved < 0.5 * flat


def test_it_is_0_for_the_picture_itself():
    picture = torch.rand(1, 3, 40, 40)
    assert distribution(picture).distance(picture) < 1e-5


def test_its_gradient_leads_to_the_style():
    style = torch.rand(1, 3, 32, 32) ** 2
    wanted = distribution(style)
    picture = torch.full((1, 3, 32, 32), 0.8, requires_grad=True)
    before = wanted.distance(picture)
    before.backward()
    # The same directions again.
    after = distribution(style).distance(picture.detach() - 0.1 * picture.grad.sign())
    assert after < before


def test_a_style_smaller_than_two_patches_is_refused():
    with pytest.raises(ValueError, match="smaller than two patches"):
        distribution(torch.rand(1, 3, 10, 10))
