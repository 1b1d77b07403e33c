"""The AdaIN pair: the public files' layout, and the pack's own in one file."""

import pytest
import torch
import torch.nn.functional as F
from visage.models.adain import (
    PUBLIC_COUNTS,
    PUBLIC_WIDTHS,
    decoder_layers,
    encoder_layers,
    load_pair,
    load_public_pair,
    new_pair,
    save_pair,
)
from visage.models.registry import kind_of

# Where the public files have their convolutions, and their channels.
ENCODER = {0: (3, 3, 1), 2: (3, 64, 3), 5: (64, 64, 3), 9: (64, 128, 3), 12: (128, 128, 3),
           16: (128, 256, 3), 19: (256, 256, 3), 22: (256, 256, 3), 25: (256, 256, 3),
           29: (256, 512, 3)}  # fmt: skip
DECODER = {1: (512, 256, 3), 5: (256, 256, 3), 8: (256, 256, 3), 11: (256, 256, 3),
           14: (256, 128, 3), 18: (128, 128, 3), 21: (128, 64, 3), 25: (64, 64, 3),
           28: (64, 3, 3)}  # fmt: skip
BEYOND = {32: (512, 512, 3), 48: (512, 512, 3)}


def random_file(layout):
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for place, (inputs, outputs, size) in layout.items():
        shape = (outputs, inputs, size, size)
        scale = (2 / (inputs * size * size)) ** 0.5
        weights[f"{place}.weight"] = scale * torch.randn(shape, generator=generator)
        weights[f"{place}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Random files of the public layout; the encoder's goes on to relu5_4."""
    folder = tmp_path_factory.mktemp("adain")
    torch.save(random_file(ENCODER | BEYOND), folder / "vgg_normalised.pth")
    torch.save(random_file(DECODER), folder / "decoder.pth")
    return folder / "vgg_normalised.pth", folder / "decoder.pth"


def test_the_layers_lie_where_the_public_files_have_them():
    for layers, layout in (
        (encoder_layers(PUBLIC_WIDTHS, PUBLIC_COUNTS), ENCODER),
        (decoder_layers(PUBLIC_WIDTHS, PUBLIC_COUNTS), DECODER),
    ):
        shapes = {name: tuple(value.shape) for name, value in layers.state_dict().items()}
        expected = {name: tuple(value.shape) for name, value in random_file(layout).items()}
        assert shapes == expected


def test_public_files_equal_a_plain_forward(files):
    pair = load_public_pair(*files)
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    weights = random_file(ENCODER)
    y = F.conv2d(x, weights["0.weight"], weights["0.bias"])
    for place in list(ENCODER)[1:]:
        if place in (9, 16, 29):
            y = F.max_pool2d(y, 2, ceil_mode=True)
        y = F.pad(y, (1, 1, 1, 1), mode="reflect")
        y = F.conv2d(y, weights[f"{place}.weight"], weights[f"{place}.bias"]).relu()
    assert torch.allclose(pair.encoder(x), y, atol=1e-5)
    weights = random_file(DECODER)
    for place in DECODER:
        if place in (5, 18, 25):
            y = F.interpolate(y, scale_factor=2)
        y = F.pad(y, (1, 1, 1, 1), mode="reflect")
        y = F.conv2d(y, weights[f"{place}.weight"], weights[f"{place}.bias"])
        y = y if place == 28 else y.relu()
    assert torch.allclose(pair.decoder(pair.encoder(x)), y, atol=1e-5)


def test_levels_are_the_first_relus(files):
    shapes = [tuple(x.shape[1:]) for x in load_public_pair(*files).levels(torch.rand(1, 3, 32, 32))]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_the_packs_own_pair_comes_back_from_its_file(tmp_path):
    pair = new_pair((6, 10, 12), (2, 1, 1))
    path = tmp_path / "pair.safetensors"
    save_pair(pair, path)
    loaded = load_pair(path)
    x = torch.rand(1, 3, 16, 16)
    assert torch.allclose(
        loaded.decoder(loaded.encoder(x)), pair.decoder(pair.encoder(x)), atol=1e-2
    )
    assert (loaded.counts, loaded.step, loaded.paints_light) == ((2, 1, 1), 4, True)
    with pytest.raises(FileExistsError, match="is kept"):
        save_pair(pair, path)


def test_other_files_are_refused_in_words(files, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match="is not AdaIN's vgg_normalised"):
        load_public_pair(other, files[1])
    with pytest.raises(ValueError, match=r"is not AdaIN's decoder.pth.*releases"):
        load_public_pair(files[0], files[0])
    with pytest.raises(ValueError, match="is not an AdaIN pair"):
        load_pair(other)
    with pytest.raises(FileNotFoundError, match="No weights file"):
        load_public_pair(files[0], tmp_path / "decoder.pth")


def test_the_kind_is_told_by_header_or_name():
    assert kind_of("x.safetensors", (), {"visage.kind": "adain"}) == "adain"
    assert kind_of("vgg_normalised.pth", ("0.weight",)) == "adain"
