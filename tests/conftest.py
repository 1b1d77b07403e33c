"""What the tests share: ComfyUI in this process, and a small starter with random weights."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

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


def _projection_shapes(variant: str, width: int, text: int) -> dict[str, list[int]]:
    """Shapes of an image projection in the public layout, by name without `image_proj.`."""
    if variant == "base":
        layers = {"proj": [4 * text, width], "norm": [text]}
    elif variant == "full face":
        layers = {"proj.0": [width, width], "proj.2": [text, width], "proj.3": [text]}
    elif variant == "FaceID":
        layers = {"proj.0": [2 * width, width], "proj.2": [4 * text, 2 * width], "norm": [text]}
    else:
        inner = 128
        layers = {"proj_in": [inner, width], "proj_out": [text, inner], "norm_out": [text]}
        for i in range(4):
            layers[f"layers.{i}.0.norm1"] = layers[f"layers.{i}.0.norm2"] = [inner]
            layers[f"layers.{i}.1.0"] = [inner]
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    if variant == "plus":
        shapes["latents"] = [1, 16, inner]
        for i in range(4):
            shapes[f"layers.{i}.0.to_q.weight"] = shapes[f"layers.{i}.0.to_out.weight"] = [128, 128]
            shapes[f"layers.{i}.0.to_kv.weight"] = [256, 128]
            shapes[f"layers.{i}.1.1.weight"] = [512, 128]
            shapes[f"layers.{i}.1.3.weight"] = [128, 512]
    return shapes


@pytest.fixture(scope="session")
def ip_adapter_weights():
    """Makes random weights of an IP-Adapter in the public layout, for layers [[out, text], ...].

    `width` is that of the features it reads.
    """

    def make(variant: str, layers, width: int = 40, seed: int = 1) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shapes = {
            f"image_proj.{name}": shape
            for name, shape in _projection_shapes(variant, width, layers[0][1]).items()
        }
        for i, shape in enumerate(layers):
            shapes[f"ip_adapter.{2 * i + 1}.to_k_ip.weight"] = list(shape)
            shapes[f"ip_adapter.{2 * i + 1}.to_v_ip.weight"] = list(shape)
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


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests were skipped, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)
