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
    build_scheduler().save_pretrained(folder / "scheduler")
    preview = {"factors": [[0.1, 0.2, 0.3]] * 4, "bias": [0.0, 0.1, 0.2]}
    (folder / "vae" / "latent_preview.json").write_text(json.dumps(preview))
    return folder


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests were skipped, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)
