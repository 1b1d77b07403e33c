"""How much content is kept and how much style is taken."""

from types import SimpleNamespace

import pytest
import torch
from visage.evaluation.style_transfer import (
    boundary_artefact,
    gain_at_equal_style,
    gram_distance,
    layout_distance,
)
from visage.models.bisenet import BiSeNet
from visage.models.face_parser import FaceParser


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
    noise = torch.rand(1, 64, 64, 3)
    assert gram_distance(noise, noise, parser) == 0
    other = torch.rand(1, 64, 64, 3)
    flat = torch.full((1, 64, 64, 3), 0.5)
    assert gram_distance(other, noise, parser) < gram_distance(flat, noise, parser)


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
