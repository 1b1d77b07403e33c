"""A checkpoint in one file gives the networks it was made from."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from visage.engines.diffusers.training import load_trainable
from visage.engines.single_file import load_single_file
from visage.models.checkpoints import write_weights

WIDTH = 64


@pytest.fixture(scope="module")
def tokenizer(random_starter):
    return random_starter / "tokenizer"


@pytest.fixture(scope="module")
def networks(tokenizer):
    """Small networks of Stable Diffusion 1's build, with random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=9,
        out_channels=4,
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        sample_size=64,
    )
    kinds = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (32, 64, 64, 64),
    }
    vae = AutoencoderKL(layers_per_block=2, latent_channels=4, sample_size=64, **kinds)
    words = CLIPTokenizer.from_pretrained(tokenizer)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=1,
            hidden_act="quick_gelu",
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    return unet, vae, text_encoder


@pytest.fixture(scope="module")
def checkpoint(comfy, networks, tmp_path_factory):
    """The networks in one file, under the names that ComfyUI's own tables give them."""
    import comfy.diffusers_convert
    import comfy.utils
    from visage.engines.comfyui.starter import unet_config

    unet, vae, text_encoder = networks
    names = comfy.utils.unet_to_diffusers(unet_config(unet.config))
    tensors = {
        f"model.diffusion_model.{names[name]}": value for name, value in unet.state_dict().items()
    }
    converted = comfy.diffusers_convert.convert_vae_state_dict(vae.state_dict())
    tensors |= {f"first_stage_model.{name}": value for name, value in converted.items()}
    tensors |= {
        f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}": value
        for name, value in text_encoder.state_dict().items()
    }
    path = tmp_path_factory.mktemp("checkpoint") / "sd-inpainting.safetensors"
    write_weights(path, tensors, {})
    return path


def test_every_weight_arrives(checkpoint, tokenizer, networks):
    engine = load_single_file(checkpoint, tokenizer)
    loaded = (engine.unet, engine.vae, engine.text_encoder)
    for ours, theirs in zip(loaded, networks, strict=True):
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        for name, value in ours.state_dict().items():
            assert torch.equal(value, expected[name]), name


def test_it_is_ready_to_learn(checkpoint, tokenizer):
    model = load_trainable(checkpoint, tokenizer)
    assert len(model.projections) == 32
    assert model.width == WIDTH and model.prediction == "epsilon"


def test_file_of_another_kind(tmp_path, tokenizer):
    path = tmp_path / "lora.safetensors"
    write_weights(path, {"lora_unet.weight": torch.zeros(2)}, {})
    with pytest.raises(ValueError, match="lora.safetensors is not a Stable Diffusion 1.x"):
        load_single_file(path, tokenizer)


def test_missing_tokenizer(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match="--tokenizer"):
        load_single_file(checkpoint, tmp_path)


def test_tokenizer_of_another_model(checkpoint, comfyui_path):
    with pytest.raises(ValueError, match="49408"):
        load_single_file(checkpoint, comfyui_path / "comfy" / "sd1_tokenizer")
