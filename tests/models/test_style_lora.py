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
    text_differences,
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
        {f"lora_unet_{NAME}.lora_mid.weight": torch.zeros(4, 4, 3, 3)},
        {f"lora_unet_{NAME}.lora_down.weight": torch.zeros(4, 48)},
    ],
    ids=["diffusers", "differences", "three factors", "half"],
)
def test_other_files_are_refused(tensors, tmp_path):
    write_weights(tmp_path / "other.safetensors", tensors, {})
    with pytest.raises(ValueError, match="other.safetensors"):
        read_style_lora(tmp_path / "other.safetensors")


class TestKohya:
    """Files of kohya's tools with more than linear projections of the UNet."""

    def written(self, tmp_path, **layers):
        tensors = {}
        for name, (down, up) in layers.items():
            tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"] = down, up
            tensors[f"{name}.alpha"] = torch.tensor(2.0)
        write_weights(tmp_path / "kohya.safetensors", tensors, {})
        return read_style_lora(tmp_path / "kohya.safetensors")

    def test_convolutions_change_as_the_two_in_a_row(self, tmp_path):
        down, up = torch.randn(4, 6, 3, 3), torch.randn(8, 4, 1, 1)
        lora = self.written(tmp_path, lora_unet_mid_block_resnets_0_conv1=(down, up))
        found = lora_differences(lora, {"mid_block.resnets.0.conv1": (8, 6, 3, 3)})
        picture = torch.randn(1, 6, 5, 5)
        conv = torch.nn.functional.conv2d
        difference = conv(picture, found["mid_block.resnets.0.conv1"])
        assert torch.allclose(difference, 0.5 * conv(conv(picture, down), up), atol=1e-5)

    @pytest.mark.parametrize("made", [(), (1, 1)])
    @pytest.mark.parametrize("layer", [(), (1, 1)])
    def test_a_convolution_of_one_point_is_a_linear_layer(self, tmp_path, made, layer):
        down, up = torch.randn(4, 6, *made), torch.randn(8, 4, *made)
        lora = self.written(tmp_path, lora_unet_mid_block_attentions_0_proj_in=(down, up))
        found = lora_differences(lora, {"mid_block.attentions.0.proj_in": (8, 6, *layer)})
        difference = found["mid_block.attentions.0.proj_in"]
        assert difference.shape == (8, 6, *layer)
        assert torch.allclose(
            difference.flatten(), (0.5 * up.flatten(1) @ down.flatten(1)).flatten()
        )

    @pytest.mark.parametrize("module", ["encoder.fc1", "text_model.encoder.fc1"])
    def test_the_text_encoders_part_is_kept_and_found(self, tmp_path, module):
        factors = torch.randn(4, 6), torch.randn(8, 4)
        lora = self.written(tmp_path, lora_te_text_model_encoder_fc1=factors)
        assert not lora.layers
        found = text_differences(lora, {module: (8, 6)})
        assert torch.allclose(found[module], 0.5 * factors[1] @ factors[0])
        write_style_lora(tmp_path / "again.safetensors", lora)
        assert read_style_lora(tmp_path / "again.safetensors").text.keys() == lora.text.keys()


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
