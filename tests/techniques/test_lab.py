import torch
from skimage import color, data
from visage.techniques.lab import lab_to_rgb, rgb_to_lab


def test_equals_the_standard_on_a_photograph():
    photograph = data.astronaut()[::4, ::4]
    expected = torch.from_numpy(color.rgb2lab(photograph)).float()
    assert (rgb_to_lab(torch.from_numpy(photograph).float() / 255) - expected).abs().max() < 0.02


def test_gray_has_no_colour_and_white_is_100():
    lab = rgb_to_lab(torch.linspace(0, 1, 256).unsqueeze(-1).expand(-1, 3))
    assert lab[:, 1:].abs().max() < 1e-3
    assert torch.allclose(lab[[0, -1], 0], torch.tensor([0.0, 100.0]), atol=1e-3)


def test_there_and_back_is_the_same_picture():
    rgb = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 1e-5


def test_colours_that_srgb_does_not_have_are_clipped():
    rgb = lab_to_rgb(torch.tensor([[50.0, 200, -200], [-10, 0, 0], [120, 0, 0]]))
    assert rgb.isfinite().all() and rgb.min() == 0 and rgb.max() == 1
