"""What the tests share: ComfyUI in this process, and a small starter with random weights."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from visage.engines.comfyui_location import find_comfyui


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    """ComfyUI's folder; the test is skipped where there is none."""
    path = find_comfyui()
    if path is None:
        pytest.skip("there is no ComfyUI (COMFYUI_PATH, two folders up, ~/comfy/ComfyUI)")
    return path


@pytest.fixture(scope="session")
def comfy(comfyui_path, tmp_path_factory):
    """ComfyUI's `comfy` package in this process, on the CPU, with empty folders of its own."""
    # First on the path: ComfyUI's modules have names such as `nodes`, and `python -m pytest` puts
    # this repository, which has a folder of that name, on the path as well.
    sys.path.insert(0, str(comfyui_path))
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = str(tmp_path_factory.mktemp("comfyui"))
    import comfy
    import comfy.sample
    import comfy.sd

    return comfy


@pytest.fixture(scope="session")
def comfy_nodes(comfy):
    """ComfyUI's own `nodes` module."""
    import nodes

    return nodes


@pytest.fixture(scope="session")
def random_starter(tmp_path_factory) -> Path:
    """A starter folder with the true topology and files, narrow, with random weights."""
    from visage.training.starter.image_encoder import build_image_encoder
    from visage.training.starter.networks import (
        build_scheduler,
        build_text_encoder,
        build_unet,
        build_vae,
    )
    from visage.training.starter.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("starter")
    captions = ["a face of a woman with red hair and round glasses, smiling, blue background"]
    tokenizer = train_tokenizer(captions, 60, folder / "tokenizer")
    torch.manual_seed(0)
    text_network = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    unet_network = {"block_out_channels": [64, 96, 64, 64], "heads": [2, 3, 2, 2]}
    vae_network = {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1}
    build_unet(unet_network, 48, 16).half().save_pretrained(folder / "unet")
    build_vae(vae_network, 128).half().save_pretrained(folder / "vae")
    build_text_encoder(text_network, tokenizer).half().save_pretrained(folder / "text_encoder")
    image_network = {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "projection_dim": 24,
    }
    build_image_encoder(image_network).half().save_pretrained(folder / "image_encoder")
    build_scheduler().save_pretrained(folder / "scheduler")
    preview = {"factors": [[0.1, 0.2, 0.3]] * 4, "bias": [0.0, 0.1, 0.2]}
    (folder / "vae" / "latent_preview.json").write_text(json.dumps(preview))
    return folder


def _projection_shapes(
    variant: str, width: int, text: int, inner: int = 128
) -> dict[str, list[int]]:
    """Shapes of an image projection in the public layout, by name without `image_proj.`.

    `width` is that of the features it reads, `inner` that of the resampler of "plus".
    """
    if variant == "base":
        layers = {"proj": [4 * text, width], "norm": [text]}
    elif variant == "full face":
        layers = {"proj.0": [width, width], "proj.2": [text, width], "proj.3": [text]}
    elif variant == "FaceID":
        layers = {"proj.0": [2 * width, width], "proj.2": [4 * text, 2 * width], "norm": [text]}
    else:
        layers = {"proj_in": [inner, width], "proj_out": [text, inner], "norm_out": [text]}
        for i in range(4):
            layers[f"layers.{i}.0.norm1"] = layers[f"layers.{i}.0.norm2"] = [inner]
            layers[f"layers.{i}.1.0"] = [inner]
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    if variant == "plus":
        shapes["latents"] = [1, 16, inner]
        for i in range(4):
            for part in ("to_q", "to_out"):
                shapes[f"layers.{i}.0.{part}.weight"] = [inner, inner]
            shapes[f"layers.{i}.0.to_kv.weight"] = [2 * inner, inner]
            shapes[f"layers.{i}.1.1.weight"] = [4 * inner, inner]
            shapes[f"layers.{i}.1.3.weight"] = [inner, 4 * inner]
    return shapes


@pytest.fixture(scope="session")
def ip_adapter_shapes():
    """The names and shapes of an IP-Adapter file in the public layout."""

    def shapes(variant: str, layers, width: int, inner: int) -> dict[str, list[int]]:
        projection = _projection_shapes(variant, width, layers[0][1], inner)
        named = {f"image_proj.{name}": shape for name, shape in projection.items()}
        for i, shape in enumerate(layers):
            for part in "kv":
                named[f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight"] = list(shape)
        return named

    return shapes


@pytest.fixture(scope="session")
def ip_adapter_weights(ip_adapter_shapes):
    """Makes random weights of an IP-Adapter in the public layout, for layers [[out, text], ...].

    `width` is that of the features it reads.
    """

    def make(variant: str, layers, width: int = 40, seed: int = 1) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = ip_adapter_shapes(variant, layers, width, 128)
        # As large as in a trained network, so that tokens and attention are neither flat nor hard.
        return {
            name: torch.randn(shape, generator=generator) * (1.5 / shape[-1] ** 0.5)
            + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
            for name, shape in shapes.items()
        }

    return make


@pytest.fixture(scope="session")
def clip_vision(comfy, tmp_path_factory):
    """A small CLIP_VISION of ComfyUI's own class with random weights: 32 px, 4 x 4 patches,
    hidden states 64 wide and embeddings 40 wide.
    """
    from comfy.clip_vision import ClipVisionModel

    path = tmp_path_factory.mktemp("clip_vision") / "config.json"
    path.write_text(
        json.dumps(
            {
                "model_type": "clip_vision_model",
                "num_hidden_layers": 3,
                "hidden_size": 64,
                "num_attention_heads": 2,
                "intermediate_size": 128,
                "hidden_act": "gelu",
                "num_channels": 3,
                "patch_size": 8,
                "image_size": 32,
                "projection_dim": 40,
            }
        )
    )
    encoder = ClipVisionModel(path)
    generator = torch.Generator().manual_seed(4)
    encoder.load_sd(
        {
            name: torch.randn(value.shape, generator=generator) * 0.2
            for name, value in encoder.get_sd().items()
        }
    )
    return encoder


@pytest.fixture(scope="session")
def write_random():
    """Writes a float16 safetensors file of any size in seconds: a million random values, repeated.

    Matrices keep the size of what goes through them; other weights and alphas are 1, biases 0.
    """
    drawn = np.random.default_rng(0).standard_normal(2**20).astype(np.float32)

    def values(name: str, shape: Sequence[int]) -> np.ndarray:
        if len(shape) < 2:
            return np.full(shape, name.endswith(("weight", "alpha")), np.float16)
        scaled = (drawn / math.prod(shape[1:]) ** 0.5).astype(np.float16)
        return np.resize(scaled, math.prod(shape))

    def write(path: Path, shapes: Mapping[str, Sequence[int]]) -> Path:
        header, end = {}, 0
        for name, shape in shapes.items():
            start, end = end, end + 2 * math.prod(shape)
            header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shapes.items():
                file.write(values(name, shape).tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def sd15_shapes(comfy):
    """Names and shapes of every weight of a Stable Diffusion 1.5 checkpoint in one file."""
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from transformers import CLIPTextConfig, CLIPTextModel

    words = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    autoencoder = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
        "ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [],
        "dropout": 0.0,
    }  # fmt: skip

    def shapes(channels: int) -> dict[str, list[int]]:
        with torch.device("meta"):
            parts = {
                "model.diffusion_model.": UNetModel(
                    image_size=32, in_channels=channels, out_channels=4, model_channels=320,
                    num_res_blocks=[2] * 4, channel_mult=[1, 2, 4, 4], num_heads=8, legacy=False,
                    use_spatial_transformer=True, transformer_depth=[1] * 6 + [0] * 2,
                    transformer_depth_middle=1, transformer_depth_output=[1] * 9 + [0] * 3,
                    context_dim=768, device="meta", operations=comfy.ops.disable_weight_init,
                ),
                "first_stage_model.": AutoencoderKL(ddconfig=autoencoder, embed_dim=4),
                "cond_stage_model.transformer.text_model.": CLIPTextModel(CLIPTextConfig(**words)),
            }  # fmt: skip
        return {
            prefix + name.removeprefix("text_model."): list(value.shape)
            for prefix, part in parts.items()
            for name, value in part.state_dict().items()
        }

    return shapes


@pytest.fixture(scope="session")
def sd15_inpainting(sd15_shapes, write_random, tmp_path_factory):
    """Stable Diffusion 1.5 inpainting in one file of 2 GB, with random weights."""
    path = tmp_path_factory.mktemp("checkpoints") / "sd-v1-5-inpainting.safetensors"
    yield write_random(path, sd15_shapes(9))
    path.unlink()


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests were skipped, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)
