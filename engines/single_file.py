"""A Stable Diffusion 1.x checkpoint in one file, as its authors and ComfyUI keep it.

Widths and depths are read from the weights; nothing is looked up or downloaded. The one thing that
such a file lacks is CLIP's tokenizer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..diffusion.latent import LATENT_SCALE
from ..models.checkpoints import load_strictly, read_weights
from .comfyui.location import find_comfyui
from .diffusers import DiffusersEngine
from .diffusers.engine import without_weights

SD1_SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
}
SD1_HEADS = 8
_TOKENS = 77
_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
_TEXT = "cond_stage_model.transformer.text_model."


def load_single_file(path: Path, tokenizer: Path | None = None) -> DiffusersEngine:
    """The engine of a single checkpoint file, in float32 on the CPU.

    tokenizer is a folder with CLIP's vocab.json and merges.txt; without it an installed ComfyUI's
    is used. Raises FileNotFoundError or ValueError where either is missing or of another kind.
    """
    weights = read_weights(path)
    for prefix, what in ((_UNET, "UNet"), (_VAE, "VAE"), (_TEXT, "CLIP text encoder")):
        if not any(name.startswith(prefix) for name in weights):
            raise ValueError(
                f"{path} is not a Stable Diffusion 1.x checkpoint: it has no {what} ({prefix}...). "
                "Give a full checkpoint file, or a diffusers folder."
            )
    words = CLIPTokenizer.from_pretrained(_tokenizer_folder(tokenizer), model_max_length=_TOKENS)
    text_config = _text_config(weights, words)
    kind = "a Stable Diffusion 1.x checkpoint"
    unet = without_weights(UNet2DConditionModel, _unet_config(weights))
    load_strictly(unet, convert_ldm_unet_checkpoint(dict(weights), unet.config), path, kind)
    vae = without_weights(AutoencoderKL, _vae_config(weights))
    load_strictly(vae, convert_ldm_vae_checkpoint(dict(weights), vae.config), path, kind)
    text_encoder = CLIPTextModel(CLIPTextConfig(**text_config))
    load_strictly(text_encoder, _text_weights(text_encoder, weights), path, kind)
    return DiffusersEngine(unet, vae, text_encoder, words, SD1_SCHEDULER)


def _unet_config(weights: dict[str, Tensor]) -> dict[str, Any]:
    def width(block: int) -> int:
        return weights[f"{_UNET}input_blocks.{block}.0.out_layers.3.weight"].shape[0]

    context = weights[f"{_UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"]
    return {
        "in_channels": weights[f"{_UNET}input_blocks.0.0.weight"].shape[1],
        "out_channels": weights[f"{_UNET}out.2.weight"].shape[0],
        "block_out_channels": [width(block) for block in (1, 4, 7, 10)],
        "layers_per_block": 2,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "cross_attention_dim": context.shape[1],
        "attention_head_dim": SD1_HEADS,
        "sample_size": 64,
    }


def _vae_config(weights: dict[str, Tensor]) -> dict[str, Any]:
    pattern = re.compile(rf"{_VAE}encoder\.down\.(\d+)\.block\.(\d+)\.conv2\.weight")
    blocks = {
        (int(found[1]), int(found[2])): value.shape[0]
        for name, value in weights.items()
        if (found := pattern.fullmatch(name))
    }
    widths = [blocks[level, 0] for level in range(1 + max(level for level, _ in blocks))]
    return {
        "block_out_channels": widths,
        "layers_per_block": 1 + max(block for _, block in blocks),
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "latent_channels": 4,
        "scaling_factor": LATENT_SCALE,
        "sample_size": 512,
    }


def _text_config(weights: dict[str, Tensor], tokenizer: CLIPTokenizer) -> dict[str, Any]:
    vocabulary, width = weights[f"{_TEXT}embeddings.token_embedding.weight"].shape
    if vocabulary != len(tokenizer):
        raise ValueError(
            f"The checkpoint's text encoder knows {vocabulary} tokens and the tokenizer "
            f"{len(tokenizer)}. Give the folder of CLIP's own tokenizer."
        )
    layers = {
        int(name[len(_TEXT) :].split(".")[2])
        for name in weights
        if name.startswith(f"{_TEXT}encoder.layers.")
    }
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": weights[f"{_TEXT}encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        # CLIP's heads are 64 wide.
        "num_attention_heads": width // 64,
        "hidden_act": "quick_gelu",
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _tokenizer_folder(given: Path | None) -> Path:
    comfyui = find_comfyui()
    folder = given or (comfyui and comfyui / "comfy" / "sd1_tokenizer")
    if folder is None or not (Path(folder) / "vocab.json").is_file():
        raise FileNotFoundError(
            "A single checkpoint file holds no tokenizer, and "
            + (f"there is no vocab.json in {folder}" if folder else "no ComfyUI was found to lend")
            + ". Name a folder with CLIP's vocab.json and merges.txt (--tokenizer)."
        )
    return Path(folder)


def _text_weights(network: CLIPTextModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    # transformers 4 puts the prefix before every name and transformers 5 does not.
    prefix = "" if hasattr(network, "text_model") else "text_model."
    return {
        name.removeprefix(prefix): value
        for name, value in convert_ldm_clip_checkpoint(weights).items()
        if not name.endswith("position_ids")
    }
