"""A fast style network learned from one painting."""

import pytest
import torch
from PIL import Image
from visage.models.fast_style import load_fast_style
from visage.training.fast_style import (
    FastStyleSettings,
    pictures_in,
    save_fast_style,
    train_fast_style,
)

SETTINGS = FastStyleSettings(steps=12, batch=2, size=64, style_size=64, widths=(4, 4, 8), blocks=1)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(70, 80, 3, generator=generator) for _ in range(2)]


@pytest.fixture(scope="module")
def style():
    stripes = (torch.arange(64) // 4 % 2).float()[:, None, None]
    return stripes * torch.tensor([0.9, 0.3, 0.2]) + (1 - stripes) * torch.tensor([0.1, 0.1, 0.5])


def test_it_learns_the_style_and_is_read_back(style, pictures, tmp_path):
    with torch.inference_mode():
        network, losses = train_fast_style(style.expand(64, 64, 3), pictures, SETTINGS)
    assert len(losses) == 12
    assert sum(losses[-3:]) < sum(losses[:3])
    save_fast_style(network, tmp_path / "stripes.safetensors", "stripes")
    again = load_fast_style(tmp_path / "stripes.safetensors")
    x = 255 * torch.rand(1, 3, 64, 64)
    assert torch.allclose(again(x), network(x), atol=1.0)
    with pytest.raises(FileExistsError):
        save_fast_style(network, tmp_path / "stripes.safetensors", "stripes")


def test_ending_it_keeps_what_is_learned(style, pictures):
    network, losses = train_fast_style(
        style.expand(64, 64, 3), pictures, SETTINGS, lambda step, loss, network: step == 3
    )
    assert len(losses) == 3
    assert network(torch.rand(1, 3, 64, 64)).isfinite().all()


def test_pictures_must_be_as_large_as_the_crops(style):
    with pytest.raises(ValueError, match="64 px large"):
        train_fast_style(style.expand(64, 64, 3), [torch.rand(30, 90, 3)], SETTINGS)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        pictures_in(tmp_path)
    Image.new("RGB", (90, 70)).save(tmp_path / "one.png")
    assert [tuple(picture.shape) for picture in pictures_in(tmp_path)] == [(70, 90, 3)]


def test_it_goes_on_from_another_style_and_leaves_that_as_it_is(style, pictures):
    first, _ = train_fast_style(style.expand(64, 64, 3), pictures, SETTINGS)
    before = {name: value.clone() for name, value in first.state_dict().items()}
    other = style.expand(64, 64, 3).flip(2)
    second, losses = train_fast_style(
        other, pictures, FastStyleSettings(steps=4, size=64, style_size=64), start=first
    )
    assert second.blocks == first.blocks
    assert len(losses) == 4
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
    assert not torch.equal(second.conv1.conv2d.weight, before["conv1.conv2d.weight"])
