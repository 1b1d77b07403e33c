from __future__ import annotations

import pytest
import torch
from visage.models import vgg19
from visage.models.checkpoints import write_weights
from visage.models.vgg19 import Vgg19, Vgg19Features, load_vgg19


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Vgg19().eval()


def test_layers_lie_where_torchvision_has_them(network):
    vgg = pytest.importorskip("torchvision").models.vgg
    with torch.device("meta"):
        theirs = torch.nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs["E"])}).state_dict()
    ours = network.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items() if int(name.split(".")[1]) <= 28
    }


def test_the_first_activation_of_each_level_is_taken(network):
    features = network(torch.zeros(1, 3, 32, 48))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (64, 32, 48),
        (128, 16, 24),
        (256, 8, 12),
        (512, 4, 6),
        (512, 2, 3),
    ]
    assert all((feature >= 0).all() for feature in features)


def test_every_picture_is_seen_at_one_size(network, monkeypatch):
    monkeypatch.setattr(vgg19, "SHORT_SIDE", 32)
    features = Vgg19Features(network, "random")
    small, large = (features.of(torch.full((*size, 3), 0.5)) for size in ((16, 24), (64, 96)))
    assert [f.shape for f in small] == [f.shape for f in large]
    assert small[0].shape[2:] == (32, 48)


def test_torchvisions_file_is_read_and_its_classifier_left_out(network, tmp_path):
    path = tmp_path / "any.safetensors"
    weights = dict(network.state_dict()) | {"classifier.0.weight": torch.zeros(3, 3)}
    write_weights(path, weights, {})
    loaded = load_vgg19(path)
    assert torch.equal(loaded.network.features[0].weight, network.features[0].weight)


@pytest.mark.parametrize(
    "change",
    [
        # VGG-16 has three convolutions at the third level.
        lambda weights: weights.pop("features.16.weight"),
        lambda weights: weights.update({"features.28.weight": torch.zeros(512, 512, 1, 1)}),
    ],
)
def test_another_network_is_refused(network, tmp_path, change):
    weights = {name: torch.zeros(value.shape) for name, value in network.state_dict().items()}
    change(weights)
    write_weights(tmp_path / "other.safetensors", weights, {})
    with pytest.raises(ValueError, match=r"other\.safetensors is not VGG-19"):
        load_vgg19(tmp_path / "other.safetensors")
