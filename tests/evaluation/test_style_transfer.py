"""How much content is kept and how much style is taken."""

from types import SimpleNamespace

import pytest
import torch
from visage.evaluation.style_transfer import (
    boundary_artefact,
    gain_at_equal_style,
    layout_distance,
    mean_texture,
    texture,
)
from visage.models.bisenet import BiSeNet
from visage.models.face_parser import FaceParser
from visage.techniques.style_score import gram_distance


@pytest.fixture(scope="module")
def parser():
    torch.manual_seed(0)
    return FaceParser(BiSeNet(width=8), 64, "random")


def test_layout_is_what_the_parser_no_longer_sees_as_drawn():
    seen = torch.zeros(1, 19, 4, 4)
    seen[:, 17, :, :2] = 1
    parser = SimpleNamespace(probabilities=lambda image: seen)
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    assert layout_distance(torch.zeros(1, 4, 4, 3), labels, parser) == 0.5
    labels[:, :, :2] = 17
    assert layout_distance(torch.zeros(1, 4, 4, 3), labels, parser) == 0


def test_textures_differ_from_others_and_not_from_themselves(parser):
    noise = texture(torch.rand(1, 64, 64, 3), parser)
    other = texture(torch.rand(1, 64, 64, 3), parser)
    flat = texture(torch.full((1, 64, 64, 3), 0.5), parser)
    assert gram_distance(noise, noise) == 0
    assert gram_distance(other, noise) < gram_distance(flat, noise)


def test_a_mask_limits_a_texture_to_its_part(parser):
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    picture = torch.full((1, 64, 64, 3), 0.5)
    picture[:, :, :32] = torch.rand(1, 64, 32, 3)
    whole = texture(picture, parser)
    assert gram_distance(texture(picture, parser, torch.ones_like(left)), whole) < 1e-6
    one, other = texture(picture, parser, left), texture(picture, parser, 1 - left)
    assert gram_distance(one, other) > 0.05
    halves = [(own + rest) / 2 for own, rest in zip(one, other, strict=True)]
    assert gram_distance(halves, whole) < 1e-6


def test_mean_texture_is_the_mean_at_every_level():
    one, two = [torch.zeros(2, 2), torch.ones(3, 3)], [torch.ones(2, 2), torch.ones(3, 3)]
    first, second = mean_texture([one, two])
    assert torch.equal(first, torch.full((2, 2), 0.5))
    assert torch.equal(second, torch.ones(3, 3))


def test_gain_compares_at_the_same_style():
    reference = [(0.8, 0.1), (0.4, 0.5)]
    assert gain_at_equal_style(reference, (0.6, 0.15)) == pytest.approx(0.5)
    assert gain_at_equal_style(reference, (0.6, 0.3)) == pytest.approx(0)
    assert gain_at_equal_style(reference, (0.2, 0.25)) == pytest.approx(0.5), "flat beyond the ends"


def test_an_edge_along_the_mask_is_an_artefact_and_one_elsewhere_is_not():
    mask = torch.zeros(64, 64)
    mask[16:48, 16:48] = 1
    seam = (0.5 + 0.2 * mask).unsqueeze(-1).expand(-1, -1, 3)
    noise = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    assert boundary_artefact(torch.full((64, 64, 3), 0.5), mask) == 0
    assert boundary_artefact(seam, mask) > 0.05
    assert abs(boundary_artefact(noise, mask)) < 0.05
