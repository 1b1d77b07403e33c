"""Face-aware text adapter, equations 6-9: E + strength * W2 SiLU(W1 E) * mean(M)."""

import pytest
import torch
from visage.techniques.text_adapter import FaceAwareTextAdapter, adapt_text

WIDTH = 12


@pytest.fixture
def adapter():
    torch.manual_seed(0)
    adapter = FaceAwareTextAdapter(WIDTH)
    torch.nn.init.normal_(adapter.w2.weight)
    return adapter.requires_grad_(False)


@pytest.fixture
def embedding():
    return torch.randn(1, 77, WIDTH, generator=torch.Generator().manual_seed(1))


def test_the_equation(adapter, embedding):
    mask = torch.zeros(1, 10, 10)
    mask[:, :5] = 0.5
    hidden = embedding @ adapter.w1.weight.T
    expected = embedding + 0.3 * 0.25 * (hidden * hidden.sigmoid()) @ adapter.w2.weight.T
    assert torch.allclose(adapt_text(embedding, mask, adapter, 0.3), expected, atol=1e-6)


def test_strength_zero_changes_nothing(adapter, embedding):
    assert torch.equal(adapt_text(embedding, torch.ones(1, 8, 8), adapter, 0.0), embedding)


def test_an_empty_mask_changes_nothing(adapter, embedding):
    assert torch.equal(adapt_text(embedding, torch.zeros(1, 8, 8), adapter, 0.3), embedding)


def test_an_untrained_adapter_changes_nothing(embedding):
    adapted = adapt_text(embedding, torch.ones(1, 8, 8), FaceAwareTextAdapter(WIDTH), 1.0)
    assert torch.equal(adapted, embedding)


def test_every_picture_has_its_own_face_fraction(adapter, embedding):
    masks = torch.stack([torch.zeros(8, 8), torch.ones(8, 8), torch.full((8, 8), 0.5)])
    adapted = adapt_text(embedding, masks, adapter, 0.3)
    assert torch.equal(adapted[:1], embedding)
    for number, mask in enumerate(masks):
        alone = adapt_text(embedding, mask, adapter, 0.3)
        assert torch.allclose(adapted[number : number + 1], alone, atol=1e-6)


def test_half_precision_stays_half(adapter, embedding):
    adapted = adapt_text(embedding.half(), torch.ones(1, 8, 8), adapter, 0.3)
    assert adapted.dtype == torch.float16


def test_another_width_is_refused(adapter):
    with pytest.raises(ValueError, match=r"width 12, and this conditioning.*width 768"):
        adapt_text(torch.zeros(1, 77, 768), torch.ones(1, 8, 8), adapter)


def test_batches_that_do_not_fit_are_refused(adapter, embedding):
    with pytest.raises(ValueError, match="2 pictures and mask has 3"):
        adapt_text(embedding.expand(2, -1, -1), torch.ones(3, 8, 8), adapter)


def test_from_weights_refuses_matrices_that_are_not_square():
    weights = {"w1.weight": torch.zeros(4, 4), "w2.weight": torch.zeros(4, 8)}
    with pytest.raises(ValueError, match=r"square and alike.*\[4, 8\]"):
        FaceAwareTextAdapter.from_weights(weights)


def test_from_weights_gives_back_the_adapter(adapter, embedding):
    weights = {name: value.half() for name, value in adapter.state_dict().items()}
    again = FaceAwareTextAdapter.from_weights(weights)
    assert torch.allclose(again(embedding), adapter(embedding), atol=1e-2)
