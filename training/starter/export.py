"""Write the trained stages as a diffusers pipeline folder that holds the other starter files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionInpaintPipeline

from ...models.checkpoints import write_weights
from ...models.face_edit import write_face_edit
from .networks import build_scheduler
from .recipe import Recipe
from .vae import preview_factors


def export(settings: Mapping[str, Any], work: Path, out: Path) -> Path:
    """Export every stage to `out` (which must not exist yet) in fp16 and return the folder.

    The embedder, the detector and the image encoder are optional: they are exported if `work` holds
    them.
    """
    if out.exists():
        raise ValueError(f"{out} exists already. Move it away or name another folder with --out.")
    recipe = Recipe(settings, work)
    # Taken first, because the networks are converted to half precision in place below.
    kv, adapter = recipe.face_edit
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        folder = Path(temporary) / "starter"
        pipeline = StableDiffusionInpaintPipeline(
            vae=recipe.vae,
            text_encoder=recipe.text,
            tokenizer=recipe.tokenizer,
            unet=recipe.unet,
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        factors = preview_factors(recipe.vae, recipe.data, recipe.size)
        pipeline.to(torch.float16).save_pretrained(folder)
        (folder / "vae" / "latent_preview.json").write_text(json.dumps(factors))
        shutil.rmtree(folder / "tokenizer")
        shutil.copytree(work / "tokenizer", folder / "tokenizer")
        size = recipe.settings["face_parser"]["input_size"]
        write_network(recipe.face_parser, "face_parser", folder, {"visage.input_size": str(size)})
        for name in ("face_embedder", "face_detector"):
            if (work / f"{name}.pt").exists():
                write_network(getattr(recipe, name), name, folder, {})
        if (work / "image_encoder.pt").exists():
            recipe.image_encoder.half().save_pretrained(folder / "image_encoder")
        _write_face_edit(recipe.settings["face_edit"], kv, adapter, folder)
        folder.rename(out)
    return out


def _half(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def write_network(
    network: torch.nn.Module, kind: str, folder: Path, metadata: Mapping[str, str]
) -> None:
    """Write a stage's network in half precision as `folder`/`kind`/model.safetensors."""
    (folder / kind).mkdir(exist_ok=True)
    weights = _half(network.state_dict())
    path = folder / kind / "model.safetensors"
    write_weights(path, weights, {"visage.kind": kind, **metadata}, overwrite=True)


def _write_face_edit(settings: Mapping[str, Any], kv, adapter, folder: Path) -> None:
    unet_file = next((folder / "unet").glob("*.safetensors"))
    metadata = {
        "visage.base_sha256": hashlib.sha256(unet_file.read_bytes()).hexdigest(),
        "visage.steps": str(settings["steps"]),
        "visage.config": json.dumps(settings),
    }
    (folder / "face_edit").mkdir()
    path = folder / "face_edit" / "model.safetensors"
    write_face_edit(path, _half(kv), _half(adapter), metadata)
