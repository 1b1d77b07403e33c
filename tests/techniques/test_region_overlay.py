"""The overlay of regions."""

import pytest
import torch
from visage.techniques.region_overlay import COLOURS, draw_regions


def test_regions_are_tinted_and_the_rest_is_dimmed():
    picture = torch.full((64, 64, 3), 0.5)
    weights = torch.zeros(1, 64, 64)
    weights[:, 16:48, 16:48] = 1
    shown = draw_regions(picture, weights, [""], ["red"])
    assert shown.shape == (512, 512, 3), "small pictures are enlarged"
    assert torch.allclose(shown[8, 8], torch.full((3,), 0.3), atol=0.01)
    red = torch.tensor(COLOURS["red"]) / 255
    assert torch.allclose(shown[150, 150], 0.5 + 0.45 * (red - 0.5), atol=0.01)


@pytest.mark.slow
def test_each_region_bears_its_name_in_its_colour():
    weights = torch.zeros(2, 600, 600)
    weights[0, :, :300] = 1
    shown = draw_regions(torch.zeros(600, 600, 3), weights, ["the sea", "nowhere"], ["blue", "red"])
    colours = {tuple(colour) for colour in (shown * 255).round().int().flatten(0, 1).tolist()}
    assert COLOURS["blue"] in colours
    assert COLOURS["red"] not in colours, "an empty region has no label"


def test_no_region_is_a_dim_picture():
    assert draw_regions(torch.ones(512, 512, 3), torch.zeros(0, 512, 512), [], []).max() < 0.65
