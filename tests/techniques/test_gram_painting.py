"""Style by Gram matrices of VGG-19's features."""

import pytest
import torch
from visage.models.vgg19 import Vgg19
from visage.techniques.gram_painting import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    GramPainter,
    even_loss,
    gram_matrix,
)
from visage.techniques.neural_style import NeuralStyle, StylePicture, neural_style


@pytest.fixture(scope="module")
def network():
    """VGG-19 with random weights."""
    torch.manual_seed(0)
    return Vgg19().features.requires_grad_(False).eval()


def test_gram_matrix_is_its_formula():
    features = torch.randn(1, 5, 4, 6, dtype=torch.float64)
    formula = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            formula[i, j] = (features[0, i] * features[0, j]).sum() / (5 * 4 * 6)
    assert torch.allclose(gram_matrix(features), formula, atol=1e-12)
    ones = torch.ones(1, 1, 4, 6, dtype=torch.float64)
    assert torch.allclose(gram_matrix(features, ones), formula, atol=1e-12)


def test_guidance_looks_at_its_region_alone():
    features = torch.randn(1, 5, 4, 6)
    guide = torch.zeros(1, 1, 4, 6)
    guide[..., :3] = 1
    assert torch.allclose(gram_matrix(features, guide), gram_matrix(features[..., :3]), atol=1e-6)


def test_the_even_loss_has_a_gradient_of_two_in_all():
    difference = torch.randn(50, requires_grad=True)
    even_loss(difference).backward()
    assert difference.grad.abs().sum() == pytest.approx(2, abs=1e-4)


def test_features_are_those_of_the_network(network):
    picture = torch.rand(1, 3, 64, 64)
    taken = GramPainter(network).features(picture)
    assert set(taken) == {*STYLE_LAYERS, CONTENT_LAYER}
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (picture - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for number, layer in enumerate(network):
        x = layer(x)
        if number == 1:
            # Inside the border, where the padding is another one.
            assert torch.allclose(taken[1][..., 1:-1, 1:-1], x[..., 1:-1, 1:-1], atol=1e-5)
    assert taken[29].shape == x.shape


@pytest.mark.parametrize("optimiser", ["Adam", "L-BFGS"])
def test_the_loss_falls(network, optimiser):
    painter = GramPainter(network, steps=4, optimiser=optimiser)
    generator = torch.Generator().manual_seed(0)
    picture, style = (torch.rand(32, 32, 3, generator=generator) ** power for power in (1, 3))
    with torch.inference_mode():
        result = neural_style(picture, [StylePicture(style)], painter, NeuralStyle(coarsest=1.0))
    assert len(result.losses) == 4
    assert result.losses[-1] < result.losses[0]
    assert result.picture.isfinite().all()


def test_layer_weights_are_five_numbers(network):
    with pytest.raises(ValueError, match="5 style layers"):
        GramPainter(network, layer_weights=(1, 2))
    with pytest.raises(ValueError, match="L-BFGS"):
        GramPainter(network, optimiser="SGD")
