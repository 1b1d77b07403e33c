"""CLIP's image encoder outside ComfyUI sees what ComfyUI's sees."""

import json

import pytest
import torch
from visage.engines.image_encoder import ImageEncoder
from visage.models.checkpoints import write_weights

# The fixture clip_vision, as transformers describes it.
CONFIG = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "hidden_act": "gelu",
    "patch_size": 8,
    "image_size": 32,
    "projection_dim": 40,
}


@pytest.fixture(scope="module")
def folder(clip_vision, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image_encoder")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_weights(folder / "model.safetensors", clip_vision.get_sd(), {})
    return folder


@pytest.mark.parametrize("masked", [False, True])
def test_features_are_comfyuis(masked, folder, clip_vision):
    from visage.engines.comfyui.adapter import _encode

    picture, mask = torch.rand(1, 50, 70, 3), None
    if masked:
        mask = torch.zeros(50, 70)
        mask[:30, 20:45] = 1
    ours = ImageEncoder.load(folder).features(picture, mask)
    with torch.inference_mode():
        theirs = _encode(clip_vision, picture, mask)
    assert ours.keys() == theirs.keys()
    assert ours["hidden_states"].shape[1] < 17 if masked else 18
    for name, value in ours.items():
        assert (value - theirs[name]).abs().max() < 1e-4


def test_the_blank_is_zeros_and_a_picture_of_the_mean_colour(folder, clip_vision):
    blank = ImageEncoder.load(folder).blank()
    assert not blank["image_embeds"].any()
    with torch.inference_mode():
        pixels = torch.zeros(1, 3, 32, 32)
        theirs = clip_vision.model(pixel_values=pixels, intermediate_output=-2)[1]
    assert (blank["hidden_states"] - theirs).abs().max() < 1e-4


def test_a_missing_and_a_foreign_encoder_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image encoder in .*config.json"):
        ImageEncoder.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"hidden_size": 32}))
    weights = {"visual_projection.weight": torch.rand(40, 32)}
    write_weights(tmp_path / "model.safetensors", weights, {})
    with pytest.raises(ValueError, match="does not hold the image encoder"):
        ImageEncoder.load(tmp_path)


def test_a_file_in_16_bits_runs_in_32(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"dtype": "float16"}))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    encoder = ImageEncoder.load(tmp_path)
    assert {value.dtype for value in encoder.network.parameters()} == {torch.float32}
    assert encoder.features(torch.rand(1, 40, 40, 3))["image_embeds"].isfinite().all()
