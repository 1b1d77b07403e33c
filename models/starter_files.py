"""Where the built-in starter models lie, and what each of their files is called.

The starter is a diffusers pipeline folder, so that diffusers, transformers and both engines read
the same files; beside it lie the face parser, the face-edit weights, the face embedder, the face
detector, the image encoder and the AdaIN pair.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

STARTER = Path(__file__).parent / "starter"

FILES = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
    "face_parser": "face_parser/model.safetensors",
    "face_edit": "face_edit/model.safetensors",
    "face_embedder": "face_embedder/model.safetensors",
    "face_detector": "face_detector/model.safetensors",
    "image_encoder": "image_encoder/model.safetensors",
    "ip_adapter": "ip_adapter/model.safetensors",
    "adain": "adain/model.safetensors",
    "tokenizer": "tokenizer/vocab.json",
    "scheduler": "scheduler/scheduler_config.json",
}


def starter_file(part: str, folder: Path = STARTER) -> Path:
    """The file of one part of the starter, such as "unet" or "face_parser".

    Raises KeyError for a part that the starter does not have and FileNotFoundError, with what to
    do, when the file is not there.
    """
    path = Path(folder) / FILES[part]
    if not path.is_file():
        raise FileNotFoundError(
            f"The starter's {part} is missing: looked for {path}. The files come with the "
            "repository: get them again with git, or make them with `visage train starter`."
        )
    return path


def read_config(part: str, folder: Path = STARTER) -> dict[str, Any]:
    """The JSON configuration of "unet", "vae", "text_encoder", "image_encoder" or "scheduler".

    Raises FileNotFoundError as `starter_file`, ValueError when the file is not a JSON object.
    """
    path = starter_file(part, folder)
    if path.suffix != ".json":
        path = path.with_name("config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The starter's {part} has weights but no configuration: looked for {path}. "
            "Get the whole folder again."
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Get the file again.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds {type(config).__name__}, not a JSON object.")
    return config


def read_text_encoder(folder: Path = STARTER) -> dict[str, Tensor]:
    """Weights of the CLIP text encoder, named without the `text_model.` prefix.

    transformers 4 writes the prefix and transformers 5 does not; here all files look alike.
    """
    # Only here: to know where the files lie takes no torch.
    from .checkpoints import read_weights

    weights = read_weights(starter_file("text_encoder", folder))
    return {
        name.removeprefix("text_model."): value
        for name, value in weights.items()
        if not name.endswith("position_ids")
    }


def read_latent_preview(folder: Path = STARTER) -> dict[str, Any] | None:
    """Linear map from latents to RGB, fitted to this VAE, or None where there is none.

    "factors" is 4 x 3 and "bias" has 3 values: rgb = latent @ factors + bias, in -1..1, for
    latents as the UNet sees them.
    """
    path = Path(folder) / "vae" / "latent_preview.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
