"""The face-edit file: K/V differences under LoRA names, the adapter, and what it refuses."""

import pytest
import torch
from visage.models.checkpoints import read_weights, write_weights
from visage.models.face_edit import read_face_edit, require_matching_shapes, write_face_edit

NAMES = [
    "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight",
    "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight",
]


@pytest.fixture
def kv():
    return {name: torch.randn(8, 4) for name in NAMES}


@pytest.fixture
def adapter():
    return {"w1.weight": torch.randn(4, 4), "w2.weight": torch.randn(4, 4)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "edit.safetensors"


def test_comes_back_as_it_was_written(kv, adapter, path):
    write_face_edit(path, kv, adapter, {"visage.base": "sha256 of the base"})
    weights = read_face_edit(path)
    assert weights.kv.keys() == kv.keys()
    assert all(torch.equal(weights.kv[name], kv[name]) for name in kv)
    assert all(torch.equal(weights.adapter[name], adapter[name]) for name in adapter)
    assert weights.metadata["visage.kind"] == "face_edit"
    assert weights.metadata["visage.base"] == "sha256 of the base"


def test_uses_the_names_that_lora_loaders_know(kv, adapter, path):
    write_face_edit(path, kv, adapter, {})
    assert read_weights(path).keys() == {
        "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_k.diff",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.diff",
        "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_attn2_to_k.diff",
        "visage_text_adapter.w1.weight",
        "visage_text_adapter.w2.weight",
    }


def test_may_have_no_adapter(kv, path):
    write_face_edit(path, kv, None, {})
    assert read_face_edit(path).adapter is None


def test_writing_refuses_other_layers(path):
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    with pytest.raises(ValueError, match="attn1.to_k.weight is not a cross-attention"):
        write_face_edit(path, {name: torch.zeros(8, 4)}, None, {})


@pytest.mark.parametrize(
    "name",
    [
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight",
        "visage_text_adapter.w3.weight",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.alpha",
    ],
)
def test_reading_refuses_other_files(path, name):
    write_weights(path, {name: torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="is not a face-edit file"):
        read_face_edit(path)


def test_a_truncated_file_is_refused(kv, path):
    write_face_edit(path, kv, None, {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="Cannot read weights"):
        read_face_edit(path)


def test_weights_of_another_model_are_refused(kv, path):
    write_face_edit(path, kv, None, {})
    weights = read_face_edit(path)
    shapes = dict.fromkeys(NAMES, (8, 4))
    require_matching_shapes(weights, shapes)
    with pytest.raises(ValueError, match=r"shape \[8, 4\] and the model has the shape \[16, 4\]"):
        require_matching_shapes(weights, {**shapes, NAMES[1]: (16, 4)})
    with pytest.raises(ValueError, match=r"shape \[8, 4\] and the model has no such weight"):
        require_matching_shapes(weights, {})
