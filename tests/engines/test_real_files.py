"""Files of the true formats and sizes load, and act: all with random weights."""

from __future__ import annotations

import json
import math
import shutil
import struct

import pytest
import torch
from safetensors import safe_open
from visage.engines.diffusers import DiffusersEngine
from visage.engines.single_file import load_single_file
from visage.models.checkpoints import read_weights
from visage.models.damage import read_header
from visage.models.ip_adapter import require_matching_layers
from visage.models.registry import kind_of
from visage.models.starter_files import FILES
from visage.models.style_lora import lora_differences, read_style_lora

# Numbers of parameters, as published.
UNET, VAE, TEXT = 859_535_364, 83_653_863, 123_060_480
SDXL_UNET = 2_567_463_684
# One tensor of each of an SDXL checkpoint's parts.
SDXL_PARTS = {
    "model.diffusion_model.out.2.bias": [4],
    "first_stage_model.quant_conv.weight": [8, 8, 1, 1],
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": [768],
    "conditioner.embedders.1.model.ln_final.weight": [1280],
}
SD15_UNET = {
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "sample_size": 64,
    "out_channels": 4,
}
SD15_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
SD15_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 49408,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


def parameters(network) -> int:
    return sum(weight.numel() for weight in network.parameters())


def without_values(shapes) -> dict[str, torch.Tensor]:
    return {
        name: torch.empty(shape, device="meta", dtype=torch.half) for name, shape in shapes.items()
    }


def described(path) -> dict[str, torch.Tensor]:
    """The tensors of a file, without their values."""
    with safe_open(path, framework="pt") as file:
        return without_values({name: file.get_slice(name).get_shape() for name in file.keys()})


@pytest.fixture(scope="module")
def sdxl_file(sdxl_unet, tmp_path_factory):
    """An SDXL checkpoint with its whole UNet: 5 GB by its header, and a hole in the disk."""
    shapes = {
        f"model.diffusion_model.{name}": list(value.shape)
        for name, value in sdxl_unet.state_dict().items()
    }
    shapes |= SDXL_PARTS
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("sdxl") / "sd_xl_base_1.0.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(file.tell() + end)
    return path


class TestStableDiffusion15:
    def test_the_tests_files_have_the_names_of_the_public_ones(self, sd15_shapes):
        shapes = sd15_shapes(4)
        counts = [
            sum(name.startswith(part) for name in shapes)
            for part in ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")
        ]
        assert counts == [686, 248, 196]
        for name, shape in {
            "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
            "model.diffusion_model.middle_block.1.proj_in.weight": [1280, 1280, 1, 1],
            "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight": [
                320,
                768,
            ],
            "first_stage_model.encoder.mid.attn_1.q.weight": [512, 512, 1, 1],
            "first_stage_model.quant_conv.weight": [8, 8, 1, 1],
            "cond_stage_model.transformer.text_model.final_layer_norm.weight": [768],
        }.items():
            assert shapes[name] == shape

    def test_an_inpainting_file_is_read_whole_by_the_diffusers_engine(self, sd15_inpainting):
        engine = load_single_file(sd15_inpainting)
        found = [parameters(part) for part in (engine.unet, engine.vae, engine.text_encoder)]
        assert found == [UNET, VAE, TEXT]
        assert engine.unet.config.in_channels == 9
        with safe_open(sd15_inpainting, framework="pt") as file:
            stored = file.get_tensor("model.diffusion_model.middle_block.1.proj_in.weight")
        loaded = engine.unet.mid_block.attentions[0].proj_in.weight
        assert torch.equal(loaded, stored.float())
        assert torch.isfinite(engine.encode_text(["a face of a woman"])).all()


@pytest.fixture(scope="module")
def sd15_folder(comfyui_path, write_random, tmp_path_factory):
    """A pipeline folder as diffusers publishes SD 1.5 inpainting, in float16."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("sd15-inpainting")
    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel(**SD15_UNET, in_channels=9),
            "vae": AutoencoderKL(**SD15_VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**SD15_TEXT)),
        }
    configs = {
        "unet": {**SD15_UNET, "in_channels": 9},
        "vae": SD15_VAE,
        "text_encoder": SD15_TEXT,
    }
    for name, part in parts.items():
        path = folder / FILES[name]
        path.parent.mkdir()
        prefix = "text_model." if name == "text_encoder" else ""
        shapes = {
            prefix + key.removeprefix(prefix): list(value.shape)
            for key, value in part.state_dict().items()
        }
        write_random(path, shapes)
        (path.parent / "config.json").write_text(json.dumps(configs[name]))
    shutil.copytree(comfyui_path / "comfy" / "sd1_tokenizer", folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / FILES["scheduler"]).write_text(json.dumps(SCHEDULER))
    yield folder
    shutil.rmtree(folder)


class TestDiffusersFolder:
    def test_is_read_whole(self, sd15_folder):
        engine = DiffusersEngine.load(sd15_folder, dtype=torch.float16)
        found = [parameters(part) for part in (engine.unet, engine.vae, engine.text_encoder)]
        assert found == [UNET, VAE, TEXT]
        stored = read_weights(sd15_folder / FILES["vae"])
        assert all(
            torch.equal(value, stored[name]) for name, value in engine.vae.state_dict().items()
        )


@pytest.fixture(scope="module")
def recognised(comfy):
    """ComfyUI's own model for the names and shapes of a file, without values."""
    import comfy.model_detection
    from comfy.model_patcher import ModelPatcher

    def recognise(tensors):
        prefix = comfy.model_detection.unet_prefix_from_state_dict(tensors)
        config = comfy.model_detection.model_config_from_unet(tensors, prefix)
        config.set_inference_dtype(torch.float16, None)
        model = config.get_model(tensors, prefix, device="meta")
        return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))

    return recognise


@pytest.fixture(scope="module")
def sd15(recognised, sd15_shapes):
    return recognised(without_values(sd15_shapes(4)))


@pytest.fixture(scope="module")
def sdxl(recognised, sdxl_file):
    return recognised(described(sdxl_file))


class TestSdxl:
    def test_comfyui_knows_the_file_and_our_engine_its_layers(self, sdxl):
        from visage.engines.comfyui.adapter import cross_attention
        from visage.engines.comfyui.branches import attention_layers

        assert type(sdxl.model).__name__ == "SDXL"
        assert parameters(sdxl.model.diffusion_model) == SDXL_UNET
        assert len(cross_attention(sdxl)) == 70
        assert attention_layers(sdxl) == [0, 1, 2, 3, 4, 5]

    def test_a_lora_for_it_has_kohyas_names(self, sdxl):
        import comfy.lora
        from visage.engines.comfyui.lora import _file_names

        name = "input_blocks.4.1.transformer_blocks.0.attn1.to_k"
        assert name in dict(sdxl.model.diffusion_model.named_modules())
        assert _file_names(sdxl)(name) == "input_blocks_4_1_transformer_blocks_0_attn1_to_k"
        key_map = comfy.lora.model_lora_keys_unet(sdxl.model, {})
        assert f"lora_unet_{_file_names(sdxl)(name)}" in key_map

    def test_the_doctor_knows_it_for_a_checkpoint(self, sdxl_file):
        assert kind_of(sdxl_file.name, *read_header(sdxl_file)) == "checkpoint"

    def test_the_diffusers_engine_says_that_it_is_another_kind(self, write_random, tmp_path):
        file = write_random(tmp_path / "sd_xl_base_1.0.safetensors", SDXL_PARTS)
        with pytest.raises(ValueError, match="sd_xl_base_1.0.* not a Stable Diffusion 1.x"):
            load_single_file(file)


class TestIPAdapter:
    """Every public file by its own shapes, onto the model that it is for."""

    @pytest.mark.parametrize(
        ("family", "variant", "width", "inner", "tokens"),
        [
            ("sd15", "base", 1024, 0, 4),
            ("sd15", "plus", 1280, 768, 16),
            ("sd15", "full face", 1280, 0, 257),
            ("sd15", "FaceID", 512, 0, 4),
            ("sdxl", "base", 1280, 0, 4),
            ("sdxl", "base", 1024, 0, 4),
            ("sdxl", "plus", 1280, 1280, 16),
        ],
        ids=[
            "ip-adapter_sd15",
            "ip-adapter-plus_sd15",
            "ip-adapter-full-face_sd15",
            "ip-adapter-faceid_sd15",
            "ip-adapter_sdxl",
            "ip-adapter_sdxl_vit-h",
            "ip-adapter-plus_sdxl_vit-h",
        ],
    )
    def test_fits_its_model(
        self,
        request,
        tmp_path,
        ip_adapter_shapes,
        write_random,
        family,
        variant,
        width,
        inner,
        tokens,
    ):
        model = request.getfixturevalue(family)
        from visage.engines.comfyui.adapter import cross_attention, load_adapter

        layers = [layer.to_k.weight.shape for *_, layer in cross_attention(model)]
        path = tmp_path / "any name.safetensors"
        write_random(path, ip_adapter_shapes(variant, layers, width, inner))
        adapter = load_adapter(path).network
        path.unlink()
        assert (adapter.variant, adapter.input_width) == (variant, width)
        require_matching_layers(adapter, layers)
        seen = (1, 257, width) if adapter.reads == "hidden_states" else (1, width)
        found = adapter.tokens(torch.randn(seen))
        assert found.shape == (1, tokens, layers[0][1])
        assert torch.isfinite(found).all()


RANK = 8


@pytest.fixture(scope="module")
def modules():
    """SD 1.5's layers that LoRAs are for, by diffusers' names: those of its transformers."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD15_UNET, in_channels=4)
    return {
        name: list(module.weight.shape)
        for name, module in unet.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and ".attentions." in name
    }


class TestLora:
    def test_all_of_a_kohya_file_acts_in_comfyui(
        self, comfy, sd15, modules, write_random, tmp_path
    ):
        shapes = {}
        for name, (rows, columns, *kernel) in modules.items():
            module = "lora_unet_" + name.replace(".", "_")
            shapes[f"{module}.lora_down.weight"] = [RANK, columns, *kernel]
            shapes[f"{module}.lora_up.weight"] = [rows, RANK, *kernel]
            shapes[f"{module}.alpha"] = []
        write_random(tmp_path / "kohya.safetensors", shapes)
        tensors = comfy.utils.load_torch_file(str(tmp_path / "kohya.safetensors"), safe_load=True)
        patched, _ = comfy.sd.load_lora_for_models(sd15, None, tensors, 1.0, 0.0)
        assert len(shapes) == 3 * 192
        assert len(patched.patches) == 192

    def test_all_of_a_peft_file_acts_on_diffusers(
        self, comfy, sd15, modules, write_random, tmp_path
    ):
        attention = {
            name: shape for name, shape in modules.items() if ".attn" in name and len(shape) == 2
        }
        shapes = {}
        for name, (rows, columns) in attention.items():
            shapes[f"base_model.model.{name}.lora_A.weight"] = [RANK, columns]
            shapes[f"base_model.model.{name}.lora_B.weight"] = [rows, RANK]
        write_random(tmp_path / "adapter_model.safetensors", shapes)
        tensors = comfy.utils.load_torch_file(str(tmp_path / "adapter_model.safetensors"))
        patched, _ = comfy.sd.load_lora_for_models(sd15, None, tensors, 1.0, 0.0)
        assert not patched.patches  # ComfyUI itself passes over PEFT's names
        lora = read_style_lora(tmp_path / "adapter_model.safetensors")
        assert len(attention) == 128
        assert lora_differences(lora, attention).keys() == attention.keys()
        # And, written again in kohya's format, in ComfyUI.
        patched, _ = comfy.sd.load_lora_for_models(sd15, None, lora.tensors(), 1.0, 0.0)
        assert len(patched.patches) == 128
