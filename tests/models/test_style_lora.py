"""The LoRA file in kohya's format, and PEFT's read beside it."""

import json

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


class TestPeft:
    """Adapters as the library itself saves them."""

    LAYER = "attention.to_q"

    @pytest.fixture
    def adapted(self):
        """A small network with an adapter of rank 4 and alpha 6, and the network without."""
        peft = pytest.importorskip("peft")
        torch.manual_seed(0)
        network = torch.nn.Module()
        network.mid_block = torch.nn.Module()
        network.mid_block.attention = torch.nn.ModuleDict({"to_q": torch.nn.Linear(48, 64)})
        plain = network.mid_block.attention["to_q"].weight.detach().clone()
        config = peft.LoraConfig(
            r=4, lora_alpha=6, target_modules=["to_q"], init_lora_weights=False
        )
        return peft.PeftModel(network, config), plain

    def expected(self, adapted, plain):
        merged = adapted.merge_and_unload()
        return merged.mid_block.attention["to_q"].weight - plain

    def test_a_folder_that_peft_saved_changes_the_weights_as_peft_does(self, adapted, tmp_path):
        adapted, plain = adapted
        adapted.save_pretrained(tmp_path)
        lora = read_style_lora(tmp_path / "adapter_model.safetensors")
        found = lora_differences(lora, {f"mid_block.{self.LAYER}": (64, 48)})
        expected = self.expected(adapted, plain)
        assert torch.allclose(found[f"mid_block.{self.LAYER}"], expected, atol=1e-5)

    def test_a_file_that_diffusers_saved_says_its_alpha_in_its_header(self, adapted, tmp_path):
        adapted, plain = adapted
        state = adapted.state_dict()
        tensors = {
            f"unet.mid_block.{self.LAYER}.lora_{factor}.weight": state[
                f"base_model.model.mid_block.{self.LAYER}.lora_{factor}.default.weight"
            ]
            for factor in "AB"
        }
        header = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 6, "unet.r": 4})}
        write_weights(tmp_path / "lora.safetensors", tensors, header)
        lora = read_style_lora(tmp_path / "lora.safetensors")
        found = lora_differences(lora, {f"mid_block.{self.LAYER}": (64, 48)})
        expected = self.expected(adapted, plain)
        assert torch.allclose(found[f"mid_block.{self.LAYER}"], expected, atol=1e-5)

    def test_written_again_it_is_a_file_for_comfyuis_loader(self, adapted, tmp_path):
        adapted[0].save_pretrained(tmp_path)
        lora = read_style_lora(tmp_path / "adapter_model.safetensors")
        write_style_lora(tmp_path / "kohya.safetensors", lora)
        assert read_style_lora(tmp_path / "kohya.safetensors").layers.keys() == lora.layers.keys()

    def test_what_only_peft_can_apply_is_refused(self, adapted, tmp_path):
        adapted[0].save_pretrained(tmp_path)
        path = tmp_path / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "use_rslora": True}))
        with pytest.raises(ValueError, match="use_rslora.*Merge it with PEFT"):
            read_style_lora(tmp_path / "adapter_model.safetensors")
