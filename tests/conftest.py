"""What the tests share: ComfyUI in this process, and a small starter with random weights."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from visage.engines.comfyui.location import find_comfyui
from visage.models import stand_ins

from .scheduling import UnitScheduling, place_of


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Every test draws the same random numbers, whatever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


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
def stock_training(comfy_nodes):
    """Runs one of ComfyUI's training nodes; gives its outputs, and what it shows.

    Older versions have them as classes with a FUNCTION, newer ones with `execute`.
    """
    from comfy_extras import nodes_train

    def run(name: str, *values):
        node = getattr(nodes_train, name)
        if hasattr(node, "execute"):
            made = node.execute(*values)
            shown = made.ui if isinstance(made.ui, dict) or made.ui is None else made.ui.as_dict()
            return made.args, shown
        made = getattr(node(), node.FUNCTION)(*values)
        return ((), made.get("ui")) if isinstance(made, dict) else (made, None)

    return run


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


@pytest.fixture(scope="session")
def ip_adapter_shapes():
    """The names and shapes of an IP-Adapter file in the public layout."""
    return stand_ins.ip_adapter_shapes


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
    """Writes a float16 safetensors file of any size: f(path, shapes)."""
    return stand_ins.write_random_file


@pytest.fixture(scope="session")
def sd15_shapes(comfy):
    """Names and shapes of every weight of a Stable Diffusion 1.5 checkpoint in one file."""
    from visage.engines.comfyui.stand_in_files import checkpoint

    return lambda channels: checkpoint("SD 1.5", channels, narrow=False)


@pytest.fixture(scope="session")
def sd15_inpainting(sd15_shapes, write_random, tmp_path_factory):
    """Stable Diffusion 1.5 inpainting in one file of 2 GB, with random weights."""
    path = tmp_path_factory.mktemp("checkpoints") / "sd-v1-5-inpainting.safetensors"
    yield write_random(path, sd15_shapes(9))
    path.unlink()


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--freeze-schemas",
        action="store_true",
        help="write what the nodes' schemas are now to tests/nodes/schema_snapshot.json",
    )


@pytest.fixture(scope="session")
def local_ray():
    """Ray on this machine, started once; the tests are skipped where it is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")
    pytest.importorskip("pyarrow", reason="Ray is not installed: pip install -e '.[scale]'")
    from visage.batch.cluster import ray_cluster

    with ray_cluster() as ray:
        yield ray


SLOW_FOLDERS = {"batch", "benchmarks", "engines", "evaluation", "server", "training"}
SLOW_FIXTURES = {"comfyui_path", "local_ray", "random_starter"}


def pytest_ignore_collect(collection_path, config) -> bool | None:
    """Leave slow folders out of `make test-fast` unread, as importing them takes a while."""
    parts = collection_path.relative_to(Path(__file__).parent).parts
    fast = config.option.markexpr == "not slow"
    return True if fast and parts and parts[0] in SLOW_FOLDERS else None


def pytest_collection_modifyitems(items) -> None:
    """Mark what `make test-fast` leaves out, and begin with what takes longest."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in SLOW_FOLDERS or SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests out as `scheduling.py` says, where `--dist loadscope` asks for it."""
    return UnitScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests were skipped, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)


@pytest.fixture(scope="session")
def comfyui_models(comfy, random_starter):
    """MODEL, CLIP and VAE of the random starter, loaded as a node loads them."""
    from visage.engines.comfyui.starter import load_starter

    with torch.inference_mode():
        return load_starter(random_starter)
