"""The templates for users' own checkpoints, run on files of the true layout with random values.

Models that would be too large are made narrower (`engines.comfyui.stand_in_files`). A run proves
that a template loads the files, that its result has the right size, and that nothing changes where
a Pixel Blend's mask is 0. It says nothing about the quality of the picture.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy

import numpy as np
import torch
from PIL import Image

from ..engines.comfyui.location import find_comfyui, import_comfyui
from ..headless.client import ComfyServer
from ..headless.server import PACK, PACK_NAME, comfy_server
from ..headless.workflow import WorkflowError, node_titled
from ..models.adain import PUBLIC_COUNTS, PUBLIC_WIDTHS, decoder_layers, encoder_layers
from ..models.checkpoints import read_weights
from ..models.needed_files import ADAIN_FILES, needed_files
from ..models.registry import BUILT_IN
from ..models.stand_ins import ip_adapter_shapes, write_random_file

SAMPLES = PACK / "web" / "samples"
WORKFLOWS = PACK / "workflows"
EXTENSION = "narrow_models.py"
# Length of the built-in face analyzer's embedding; ArcFace's is 512.
STARTER_FACE = 128
# Small pictures, so that a run takes seconds on a CPU.
SIZE, MOSAIC = 64, 160
SMALL = {
    "KSampler": {"steps": 2},
    "VisageCropFaces": {"size": SIZE},
    "ImageScale": {"width": 2 * SIZE, "height": 2 * SIZE},
    "VisageMosaicCompose": {"size": SIZE},
    "VisageStyleTransfer": {"steps": 2, "inversion_steps": 10},
    "VisageTrainStyleLora": {"steps": 2, "size": SIZE},
    "VisageInvert": {"steps": 2, "inversion_steps": 10},
    "EmptyLatentImage": {"width": 2 * SIZE, "height": 2 * SIZE},
    # InsightFace's packs are ONNX files, for which there is no stand-in.
    "VisageLoadFaceAnalyzer": {"analyzer": BUILT_IN},
}
QUICK = ("face_edit_plain", "face_edit_sdxl", "face_edit_flux_fill", "style_keep_identity_sd15")


def names() -> list[str]:
    """The names of the templates that need files from the user."""
    shipped = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
    return [name for name in shipped if needed_files(twin(name))]


def twin(name: str) -> dict:
    """Load a template in API form."""
    return json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))


def run(quick: bool) -> dict[str, float]:
    """Count the templates that run, and measure changes outside masks and parity in process."""
    from ..evaluation.flux_fill import flux_fill_mask_values
    from ..evaluation.sdxl_parity import sdxl_parity

    comfyui = find_comfyui()
    if comfyui is None:
        raise ValueError("This benchmark needs ComfyUI: set COMFYUI_PATH to its folder.")
    import_comfyui(comfyui)
    chosen = list(QUICK) if quick else names()
    outside, completed = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="visage-checkpoints-") as folder:
        with stand_in_server(comfyui, Path(folder), chosen) as server:
            for name in chosen:
                try:
                    outside = max(outside, run_template(server, name))
                    completed += 1
                except (WorkflowError, ValueError) as error:
                    logging.warning("%s: %s", name, error)
    return {
        "templates_total": len(chosen),
        "templates_run": completed,
        "outside_max_abs_diff": outside,
        **sdxl_parity(),
        "flux_fill_mask_values_seen": flux_fill_mask_values(),
    }


@contextmanager
def stand_in_server(comfyui: Path, folder: Path, templates: list[str]) -> Iterator[ComfyServer]:
    """Start a server with a file of the true layout for everything that `templates` load.

    The files are written to `folder`. ComfyUI must have been imported (`import_comfyui`).
    """
    write_files(folder, [twin(name) for name in templates])
    with comfy_server(comfyui, options=options_for(folder)) as server:
        yield server


def options_for(folder: Path) -> list[str]:
    """ComfyUI's options for the model folders in `folder` and the extension that reads them."""
    extensions = folder / "custom_nodes"
    extensions.mkdir(exist_ok=True)
    copy(PACK / "engines" / "comfyui" / EXTENSION, extensions / EXTENSION)
    lines = [f"  {path.name}: {path}" for path in sorted(folder.iterdir()) if path.is_dir()]
    config = folder / "extra_model_paths.yaml"
    config.write_text("\n".join(["stand_ins:", *lines]) + "\n", encoding="utf-8")
    paths = ["--extra-model-paths-config", str(config)]
    return [*paths, "--whitelist-custom-nodes", PACK_NAME, EXTENSION]


def write_files(folder: Path, prompts: list[dict]) -> None:
    """Write a file of the right layout for each file that the workflows name."""
    wanted = dict.fromkeys(file for prompt in prompts for file in needed_files(prompt))
    for kind, name in wanted:
        path = folder / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "insightface" or path.exists():
            continue
        written = write_random_file(path.with_suffix(".safetensors"), layout_of(kind, name))
        if path.suffix == ".bin":
            as_bin(written, path)
        elif path.suffix == ".pth":
            torch.save(read_weights(written), path)
            written.unlink()


def as_bin(written: Path, path: Path) -> None:
    """Convert an IP-Adapter to its authors' format, a pickle of two dictionaries."""
    parts: dict[str, dict] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in read_weights(written).items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    torch.save(parts, path)
    written.unlink()


def layout_of(kind: str, name: str) -> dict[str, list[int]]:
    """Names and shapes of the weights in a public file, by its folder and name."""
    from ..engines.comfyui import stand_in_files as files

    family = "SDXL" if "xl" in name.lower() and kind != "text_encoders" else "SD 1.5"
    if kind == "checkpoints":
        family = "SD 2.1" if name.startswith("v2-1") else family
        return files.checkpoint(family, 9 if "inpainting" in name else 4)
    if kind == "controlnet":
        return files.controlnet(family)
    if kind == "visage_adain":
        network = encoder_layers if name == ADAIN_FILES[0] else decoder_layers
        weights = network(PUBLIC_WIDTHS, PUBLIC_COUNTS).state_dict()
        return {key: list(value.shape) for key, value in weights.items()}
    if kind == "loras":
        return files.kohya_lora(family)
    if kind == "ipadapter":
        variant = next((v for v in ("plus", "FaceID") if v.lower() in name.lower()), "base")
        width = {"plus": 1280, "FaceID": STARTER_FACE, "base": 1024}[variant]
        inner = 1280 if family == "SDXL" else 768
        return ip_adapter_shapes(variant, files.cross_attention_shapes(family), width, inner)
    by_name: dict[str, Callable[[], dict[str, list[int]]]] = {
        "flux1-fill-dev": lambda: files.flux(96),
        "flux1-dev": lambda: files.flux(16),
        "qwen_image_edit": files.qwen_image,
        "clip_l": lambda: {f"text_model.{key}": value for key, value in files.clip_l().items()},
        "t5xxl": files.t5_xxl,
        "qwen_2.5_vl": files.qwen_vl,
        "ae.": files.flux_autoencoder,
        "qwen_image_vae": files.qwen_autoencoder,
        "CLIP-ViT-H": files.clip_vision_h,
    }
    for start, layout in by_name.items():
        if name.startswith(start):
            return layout()
    raise ValueError(f"There is no layout for {kind}/{name}; add one to engines/comfyui.")


def run_template(server: ComfyServer, name: str, changes: Callable[[dict], None] = bool) -> float:
    """Run a template in a small form and check its pictures; return the largest change outside.

    changes(prompt) may alter the small form. Raises WorkflowError when it does not run, and
    ValueError for a result that has another size, is of one colour or equals the original.
    """
    prompt = small(twin(name), server)
    changes(prompt)
    probes = [_probe(prompt, key) for key in _of_class(prompt, "VisagePixelBlend")]
    outputs = server.run(prompt, timeout=900)
    result = _picture(server, outputs, node_titled(prompt, "Result")[0])
    _require(bool(result.std() > 1), f"{name}: the result is one colour")
    largest = 0.0
    for blended, original, outside in probes:
        after, before = (_picture(server, outputs, key) for key in (blended, original))
        _require(bool(after.shape == before.shape), f"{name}: {after.shape} of {before.shape}")
        kept = _picture(server, outputs, outside)[..., 0] == 0
        _require(
            bool(0 < kept.mean() < 1 or "whole" in name), f"{name}: a mask of nothing or everything"
        )
        change = np.abs(after - before).max(axis=-1)
        _require(bool(change[~kept].any()), f"{name}: nothing changed inside the mask")
        largest = max(largest, float(change[kept].max(initial=0)) / 255)
    if not probes:
        _require(bool(result.shape[1::-1] == _expected_size(prompt)), f"{name}: {result.shape}")
    return largest


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _expected_size(prompt: dict) -> tuple[int, int]:
    """Width and height of the empty latent, or else of the first picture that is loaded."""
    for key in _of_class(prompt, "EmptyLatentImage"):
        return prompt[key]["inputs"]["width"], prompt[key]["inputs"]["height"]
    if _of_class(prompt, "VisageMosaicCompose"):
        return MOSAIC, MOSAIC
    source = prompt[_of_class(prompt, "LoadImage")[0]]["inputs"]["image"]
    with Image.open(SAMPLES / Path(source).name) as picture:
        return picture.size


def small(prompt: dict, server: ComfyServer) -> dict:
    """The workflow with few steps and small pictures; its samples are put on the server."""
    for node in prompt.values():
        node["inputs"] |= SMALL.get(node["class_type"], {})
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = _upload(server, node["inputs"]["image"], prompt)
    return prompt


def _upload(server: ComfyServer, name: str, prompt: dict) -> str:
    """Put a sample on the server, smaller if it is inverted, on a canvas if there are tiles."""
    if not _of_class(prompt, "VisageMosaicCompose"):
        return server.upload(SAMPLES / name)
    with tempfile.TemporaryDirectory() as folder, Image.open(SAMPLES / name) as picture:
        path = Path(folder) / f"{Path(name).stem}_small.png"
        picture.convert("RGB").resize((MOSAIC, MOSAIC)).save(path)
        return server.upload(path)


def _of_class(prompt: dict, kind: str) -> list[str]:
    return [key for key, node in prompt.items() if node["class_type"] == kind]


def _probe(prompt: dict, blend: str) -> tuple[str, str, str]:
    """Add previews of a blend's result and original, and of where its mask is above 0."""
    inputs = prompt[blend]["inputs"]

    def add(kind: str, **values) -> str:
        key = f"probe {len(prompt)}"
        prompt[key] = {"class_type": kind, "inputs": values, "_meta": {"title": key}}
        return key

    above = add("ThresholdMask", mask=inputs["mask"], value=0.0)
    shown = add("MaskToImage", mask=[above, 0])
    return tuple(
        add("PreviewImage", images=link) for link in ([blend, 0], inputs["original"], [shown, 0])
    )


def _picture(server: ComfyServer, outputs: dict, key: str) -> np.ndarray:
    """The picture that a node saved or previewed, [H, W, 3] in 0..255."""
    (saved,) = outputs[key]["images"]
    with Image.open(io.BytesIO(server.download(saved))) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)
