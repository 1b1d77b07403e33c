"""The fast style network, and the public files of its layout."""

import pytest
import torch
from torch import nn
from visage.models.fast_style import (
    SMALL_BLOCKS,
    SMALL_WIDTHS,
    FastStyle,
    built_in_styles,
    load_fast_style,
)


def plain_forward(weights, x):
    """The network of the public layout, written out with PyTorch's own layers."""

    def conv(name, x, size, stride=1, upsample=False):
        x = nn.functional.interpolate(x, scale_factor=2) if upsample else x
        x = nn.ReflectionPad2d(size // 2)(x)
        return nn.functional.conv2d(
            x, weights[f"{name}.conv2d.weight"], weights[f"{name}.conv2d.bias"], stride
        )

    def norm(name, x):
        return nn.functional.instance_norm(
            x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"]
        )

    for k, size, stride in ((1, 9, 1), (2, 3, 2), (3, 3, 2)):
        x = norm(f"in{k}", conv(f"conv{k}", x, size, stride)).relu()
    for k in range(1, 6):
        y = norm(f"res{k}.in1", conv(f"res{k}.conv1", x, 3)).relu()
        x = x + norm(f"res{k}.in2", conv(f"res{k}.conv2", y, 3))
    for k in (1, 2):
        x = norm(f"in{k + 3}", conv(f"deconv{k}", x, 3, upsample=True)).relu()
    return conv("deconv3", x, 9)


@pytest.fixture(scope="module")
def public_file(tmp_path_factory):
    """A file as the public ones are, with random weights."""
    torch.manual_seed(0)
    weights = FastStyle().state_dict()
    weights |= {name: value + 0.1 * torch.randn(value.shape) for name, value in weights.items()}
    # What older PyTorch saved of instance norms, which has no meaning.
    weights |= {"in1.running_mean": torch.zeros(32), "res1.in1.running_var": torch.ones(128)}
    path = tmp_path_factory.mktemp("fast") / "candy.pth"
    torch.save(weights, path)
    return path


def test_a_public_file_gives_what_its_own_network_gives(public_file):
    network = load_fast_style(public_file)
    picture = 255 * torch.rand(1, 3, 40, 56)
    expected = plain_forward(torch.load(public_file, weights_only=True), picture)
    assert (network(picture) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_width_and_depth_are_read_from_the_file(tmp_path):
    small = FastStyle(SMALL_WIDTHS, SMALL_BLOCKS)
    torch.save(small.state_dict(), tmp_path / "small.pth")
    network = load_fast_style(tmp_path / "small.pth")
    assert network.blocks == SMALL_BLOCKS
    assert sum(value.numel() for value in network.state_dict().values()) < 300_000


def test_another_file_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match="not a fast style network"):
        load_fast_style(tmp_path / "vgg.pth")


def test_the_reach_is_what_a_pixel_depends_on():
    torch.manual_seed(0)
    network = FastStyle((4, 4, 4), 2)
    x = torch.rand(1, 3, 160, 160)
    network(x)
    network = network.normalised_by(network.statistics())
    changed = x.clone()
    changed[..., 80] += 50
    apart = (network(changed) - network(x)).abs().amax((0, 1, 2))
    touched = (apart > 0).nonzero().flatten()
    assert 80 - network.reach <= touched.min()
    assert touched.max() <= 80 + network.reach


@pytest.mark.parametrize("name", built_in_styles())
def test_the_built_in_styles_are_there_and_small(name):
    path = built_in_styles()[name]
    assert load_fast_style(path)(torch.rand(1, 3, 32, 32) * 255).isfinite().all()
    assert sum(file.stat().st_size for file in built_in_styles().values()) < 3 * 2**20
