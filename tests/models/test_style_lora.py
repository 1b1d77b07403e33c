"""The LoRA file in kohya's format."""

import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.models.style_lora import (
    Factors,
    StyleLora,
    lora_differences,
    read_style_lora,
    write_style_lora,
)

NAME = "mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0"
MODULE = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"


@pytest.fixture
def lora() -> StyleLora:
    return StyleLora({NAME: Factors(torch.randn(4, 48), torch.randn(64, 4), 2.0)}, {"made": "now"})


def test_comes_back_as_it_was_written(lora, tmp_path):
    write_style_lora(tmp_path / "style.safetensors", lora)
    found = read_style_lora(tmp_path / "style.safetensors")
    assert torch.equal(found.layers[NAME].down, lora.layers[NAME].down)
    assert torch.equal(found.layers[NAME].up, lora.layers[NAME].up)
    assert found.layers[NAME].alpha == 2.0
    assert found.metadata == {"made": "now", "visage.kind": "style_lora"}


def test_a_users_file_is_not_overwritten(lora, tmp_path):
    write_style_lora(tmp_path / "style.safetensors", lora)
    with pytest.raises(FileExistsError, match="style.safetensors"):
        write_style_lora(tmp_path / "style.safetensors", lora)
    write_style_lora(tmp_path / "style.safetensors", lora, overwrite=True)


def test_adds_alpha_over_rank_times_up_times_down(lora):
    difference = lora_differences(lora, {MODULE: (64, 48)})[MODULE]
    down, up, _ = lora.layers[NAME]
    assert torch.allclose(difference, 2.0 / 4 * up @ down)


@pytest.mark.parametrize(
    ("shapes", "found"), [({MODULE: (320, 48)}, r"\[320, 48\]"), ({}, "no such layer")]
)
def test_a_lora_of_another_base_is_refused(shapes, found, lora):
    with pytest.raises(ValueError, match=rf"another base model.*\[64, 48\].*{found}"):
        lora_differences(lora, shapes)


@pytest.mark.parametrize(
    "tensors",
    [
        {"unet.mid_block.lora_A.weight": torch.zeros(4, 48)},
        {f"lora_unet_{NAME}.diff": torch.zeros(64, 48)},
        {f"lora_unet_{NAME}.lora_down.weight": torch.zeros(4, 48, 1, 1)},
        {f"lora_unet_{NAME}.lora_down.weight": torch.zeros(4, 48)},
    ],
    ids=["diffusers", "differences", "convolution", "half"],
)
def test_other_files_are_refused(tensors, tmp_path):
    write_weights(tmp_path / "other.safetensors", tensors, {})
    with pytest.raises(ValueError, match="other.safetensors"):
        read_style_lora(tmp_path / "other.safetensors")
