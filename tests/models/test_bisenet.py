from __future__ import annotations

import pytest
import torch
from visage.models.bisenet import BiSeNet


@pytest.mark.parametrize(
    ("blocks", "tensors", "parameters"),
    [((2, 2, 2, 2), 191, 13_300_416), ((3, 4, 6, 3), 287, 23_408_576)],
)
def test_is_the_public_network(blocks, tensors, parameters):
    with torch.device("meta"):
        network = BiSeNet(blocks=blocks)
    assert len(network.state_dict()) == tensors
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_three_heads_answer_at_the_input_size_even_where_it_is_odd():
    network = BiSeNet(width=8).eval()
    for logits in network(torch.randn(2, 3, 75, 101)):
        assert logits.shape == (2, 19, 75, 101)


def test_every_parameter_learns():
    network = BiSeNet(width=8)
    sum(logits.square().mean() for logits in network(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_refinement_begins_with_the_coarse_answer_and_changes_it_at_a_quarter():
    coarse = BiSeNet(width=8).eval()
    refined = BiSeNet(width=8, refine=4).eval()
    refined.load_state_dict(refined.state_dict() | coarse.state_dict())
    x, sizes = torch.randn(1, 3, 64, 96), []
    assert torch.allclose(refined(x, (16, 24))[0], coarse(x, (16, 24))[0], atol=1e-6)
    torch.nn.init.normal_(refined.refine.conv_out.weight)
    refined.refine.conv_out.register_forward_hook(lambda *call: sizes.append(call[2].shape[2:]))
    assert not torch.allclose(refined(x, (16, 24))[0], coarse(x, (16, 24))[0], atol=1e-3)
    assert sizes == [(16, 24)]


@pytest.mark.parametrize("refine", [0, 4])
def test_the_answer_alone_is_the_first_of_three(refine):
    network = BiSeNet(width=8, refine=refine).eval()
    x = torch.randn(2, 3, 75, 101)
    assert torch.equal(network.answer(x), network(x)[0])
