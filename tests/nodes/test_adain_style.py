"""AdaIN Style, run as ComfyUI runs it."""

import pytest
import torch
from visage.models.adain import PUBLIC_COUNTS, PUBLIC_WIDTHS, new_pair, save_pair

DEFAULTS = {
    "alpha": 1.0, "colour": "as the style", "style_scale": 1.0, "keep_strength": 0.5, "tile": 512,
    "batch": "clip",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture
def node(users_folder, tmp_path):
    """The node, with a folder of the user's that holds one small pair."""
    from visage.nodes import adain_style

    users_folder("visage_adain")
    torch.manual_seed(0)
    save_pair(new_pair((6, 8), (1, 1)), tmp_path / "mine.safetensors")
    return adain_style.VisageAdaINStyle


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 40, 48, 3, generator=generator), torch.rand(1, 40, 40, 3)


def test_paints_a_batch_with_a_pair_of_the_users(node, pictures):
    image, style = pictures
    (painted,) = node.execute(image, style, "mine.safetensors", **DEFAULTS).args
    assert painted.shape == image.shape
    assert not torch.equal(painted, image)
    (same,) = node.execute(image, style, "mine.safetensors", **{**DEFAULTS, "alpha": 0.0}).args
    assert torch.equal(same, image)


def test_the_public_files_are_found_by_their_names(node, pictures, tmp_path):
    from visage.models.needed_files import ADAIN_PUBLIC

    said = node.validate_inputs(ADAIN_PUBLIC)
    assert "vgg_normalised.pth" in said
    assert "pytorch-AdaIN/releases" in said
    pair = new_pair(PUBLIC_WIDTHS, PUBLIC_COUNTS)
    torch.save(pair.encoder.state_dict(), tmp_path / "vgg_normalised.pth")
    assert "decoder.pth" in node.validate_inputs(ADAIN_PUBLIC)
    torch.save(pair.decoder.state_dict(), tmp_path / "decoder.pth")
    assert node.validate_inputs(ADAIN_PUBLIC) is True
    image, style = pictures
    (painted,) = node.execute(image[:1], style, ADAIN_PUBLIC, **DEFAULTS).args
    assert painted.shape == (1, 40, 48, 3)
    options = next(i for i in node.define_schema().inputs if i.id == "model").options
    assert ADAIN_PUBLIC in options
    assert "mine.safetensors" in options
    assert "decoder.pth" not in options


def test_two_styles_have_their_regions(node, pictures):
    image, style = pictures
    region = torch.zeros(1, 40, 48)
    region[..., :20] = 1
    (painted,) = node.execute(
        image, style, "mine.safetensors", **DEFAULTS, region=region, style_2=style**3,
        region_2=torch.zeros(1, 40, 48),
    ).args  # fmt: skip
    assert torch.equal(painted[:, :, 20:], image[:, :, 20:])
    assert not torch.equal(painted[:, :, :20], image[:, :, :20])


def test_a_region_without_its_style_is_told_of(node, pictures):
    with pytest.raises(ValueError, match="region 2 is connected and style 2 is not"):
        node.execute(*pictures, "mine.safetensors", **DEFAULTS, region_2=torch.ones(1, 40, 48))


def test_a_changed_file_is_read_again(node, pictures, tmp_path):
    before = node.fingerprint_inputs("mine.safetensors")
    (first,) = node.execute(*pictures, "mine.safetensors", **DEFAULTS).args
    torch.manual_seed(5)
    save_pair(new_pair((6, 8), (1, 1)), tmp_path / "mine.safetensors", overwrite=True)
    assert node.fingerprint_inputs("mine.safetensors") != before
    (second,) = node.execute(*pictures, "mine.safetensors", **DEFAULTS).args
    assert not torch.equal(first, second)
