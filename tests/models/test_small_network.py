from __future__ import annotations

import torch
from torch import nn
from visage.models.face_detector import DetectorNetwork
from visage.models.small_network import folded


def test_a_folded_network_gives_the_same_answer_without_normalisations():
    torch.manual_seed(0)
    network = DetectorNetwork((4, 8, 8), 2)
    for _ in range(3):
        network(3 * torch.randn(4, 3, 64, 64) + 1)
    network.eval()
    quick = folded(network)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in quick.modules())
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(quick(x), network(x), atol=1e-5, rtol=1e-5)


def test_the_network_itself_stays_as_it_was():
    network = DetectorNetwork((4, 8, 8), 2).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
