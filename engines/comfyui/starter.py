"""The starter as MODEL, CLIP and VAE, made by ComfyUI's own classes and key maps.

Everything that comes out of here is an ordinary ModelPatcher, CLIP, VAE or CONDITIONING, so that
samplers, LoRA loaders, ControlNet, previews and memory management work as for SD 1.5. Importable
only inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import comfy.clip_model
import comfy.clip_vision
import comfy.diffusers_convert
import comfy.hooks
import comfy.latent_formats
import comfy.ldm.modules.diffusionmodules.model as autoencoder_layers
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

from ...diffusion.latent import LATENT_SCALE
from ...models.checkpoints import read_weights
from ...models.starter_files import (
    STARTER,
    read_config,
    read_latent_preview,
    read_text_encoder,
    starter_file,
)
from .native_size import ATTACHMENT

PIXELS_PER_CELL = 8


def load_starter(folder: Path = STARTER) -> tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """MODEL, CLIP and VAE of a diffusers pipeline folder that is built like SD 1.5, at any width.

    Raises FileNotFoundError or ValueError when a file is missing, damaged or of another build.
    """
    vae = _load_vae(folder)
    model, clip = _load_unet(folder, vae), _load_clip(folder)
    vae.get_sd = clip.get_sd = _refuse_saving
    return model, clip, vae


def _refuse_saving(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise ValueError(
        "The starter models cannot be saved as a checkpoint: their layers are narrower than any "
        "that Load Checkpoint knows, so it could not read the file. They come with Visage: use "
        "Load Starter Models. To keep what was trained, save the LoRA or the face edit."
    )


class _WidthRatio(Fraction):
    """A level's width over the first level's; ComfyUI multiplies by it and needs whole numbers."""

    def __mul__(self, channels: int) -> int:
        return int(super().__mul__(channels))

    __rmul__ = __mul__


def unet_config(config: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's description of the UNet which a diffusers UNet2DConditionModel config describes.

    Raises ValueError for attention heads which ComfyUI's SD 1.5 class cannot express.
    """
    channels, layers = config["block_out_channels"], config["layers_per_block"]
    levels = range(len(channels))
    down = [int(name.startswith("CrossAttn")) for name in config["down_block_types"]]
    up = [int(name.startswith("CrossAttn")) for name in reversed(config["up_block_types"])]
    return {
        "image_size": 32,
        "use_spatial_transformer": True,
        "legacy": False,
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": channels[0],
        "channel_mult": [_WidthRatio(width, channels[0]) for width in channels],
        "num_res_blocks": [layers for _ in levels],
        "transformer_depth": [down[level] for level in levels for _ in range(layers)],
        "transformer_depth_output": [up[level] for level in levels for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "use_linear_in_transformer": config.get("use_linear_projection", False),
        "context_dim": config["cross_attention_dim"],
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "use_temporal_resblock": False,
        **_heads(config),
    }


def _heads(config: dict[str, Any]) -> dict[str, int]:
    # diffusers reads attention_head_dim as the number of heads; SD 1.5's files rely on it.
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    if isinstance(heads, int):
        return {"num_heads": heads, "num_head_channels": -1}
    widths = {
        width // count for width, count in zip(config["block_out_channels"], heads, strict=True)
    }
    if len(widths) > 1:
        raise ValueError(f"Attention heads {heads} give heads of different widths: {widths}.")
    return {"num_heads": -1, "num_head_channels": widths.pop()}


def _load_unet(folder: Path, vae: comfy.sd.VAE) -> ModelPatcher:
    path = starter_file("unet", folder)
    config, scheduler = unet_config(read_config("unet", folder)), read_config("scheduler", folder)
    latent_format = _latent_format(folder)
    key_map = comfy.utils.unet_to_diffusers(config)
    weights = read_weights(path)
    dtype = comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    load_device = comfy.model_management.get_torch_device()

    description = comfy.supported_models.SD15(config)
    # SD15 insists on eight heads.
    description.unet_config.update(config)
    description.latent_format = latent_format
    description.process_unet_state_dict_for_saving = _refuse_saving
    description.sampling_settings = {
        "linear_start": scheduler["beta_start"],
        "linear_end": scheduler["beta_end"],
        "timesteps": scheduler["num_train_timesteps"],
    }
    description.set_inference_dtype(
        dtype, comfy.model_management.unet_manual_cast(dtype, load_device)
    )
    prediction = {
        "epsilon": comfy.model_base.ModelType.EPS,
        "v_prediction": comfy.model_base.ModelType.V_PREDICTION,
    }[scheduler.get("prediction_type", "epsilon")]
    model = comfy.model_base.BaseModel(description, prediction)
    renamed = {key_map.get(name, name): value for name, value in weights.items()}
    require_same_keys(path, model.diffusion_model.state_dict(), renamed)
    _set_norm_groups(model.diffusion_model, read_config("unet", folder))
    model.load_model_weights(renamed)
    if description.inpaint_model():
        model.set_inpaint()
        model.blank_inpaint_image_like = _blank_picture(vae, latent_format)
    offload_device = comfy.model_management.unet_offload_device()
    patcher = ModelPatcher(model.to(offload_device), load_device, offload_device)
    patcher.set_attachments(
        ATTACHMENT, PIXELS_PER_CELL * read_config("unet", folder)["sample_size"]
    )
    return patcher


def _set_norm_groups(network: torch.nn.Module, config: dict[str, Any]) -> None:
    """Group normalisation with the config's number of groups; ComfyUI's classes always make 32."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = config.get("norm_num_groups", 32)


def _latent_format(folder: Path) -> comfy.latent_formats.LatentFormat:
    latent_format = comfy.latent_formats.SD15(
        read_config("vae", folder).get("scaling_factor", LATENT_SCALE)
    )
    preview = read_latent_preview(folder)
    if preview:
        latent_format.latent_rgb_factors = preview["factors"]
        latent_format.latent_rgb_factors_bias = preview["bias"]
    # SD 1.5's small preview decoder does not fit another VAE.
    latent_format.taesd_decoder_name = None
    return latent_format


def _blank_picture(vae: comfy.sd.VAE, latent_format: comfy.latent_formats.LatentFormat):
    """The latent of a wholly masked picture; ComfyUI's own numbers are for SD 1.5's VAE."""
    gray = vae.encode(torch.full((1, 64, 64, 3), 0.5)).mean(dim=(0, 2, 3))
    gray = latent_format.process_in(gray).view(1, -1, 1, 1)
    return lambda latent: gray.to(latent).expand_as(latent)


def _load_vae(folder: Path) -> comfy.sd.VAE:
    path, config = starter_file("vae", folder), read_config("vae", folder)
    channels = config["block_out_channels"]
    weights = comfy.diffusers_convert.convert_vae_state_dict(read_weights(path))
    description = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": 256,
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": channels[0],
        "ch_mult": [_WidthRatio(width, channels[0]) for width in channels],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": description, "embed_dim": config["latent_channels"]}
    with _autoencoder_norm_groups(config.get("norm_num_groups", 32)):
        vae = comfy.sd.VAE(sd=weights, config={"params": params})
    require_same_keys(path, vae.first_stage_model.state_dict(), weights)
    return vae


@contextmanager
def _autoencoder_norm_groups(groups: int) -> Iterator[None]:
    """Build ComfyUI's autoencoder with so many groups: 32, its own number, need not divide a width.

    Its layers look up their operations when they are built, so only those of this block differ.
    """
    usual = autoencoder_layers.ops

    class Operations(usual):
        GroupNorm = staticmethod(
            lambda num_groups, num_channels, **rest: usual.GroupNorm(groups, num_channels, **rest)
        )

    autoencoder_layers.ops = Operations
    try:
        yield
    finally:
        autoencoder_layers.ops = usual


class _TextModel(comfy.clip_model.CLIPTextModel):
    """ComfyUI's CLIP text model with a vocabulary of any size."""

    def __init__(self, config: dict[str, Any], dtype, device, operations) -> None:
        super().__init__(config, dtype, device, operations)
        self.set_input_embeddings(
            operations.Embedding(
                config["vocab_size"], config["hidden_size"], dtype=dtype, device=device
            )
        )


def _load_clip(folder: Path) -> comfy.sd.CLIP:
    path, config = starter_file("text_encoder", folder), read_config("text_encoder", folder)
    tokenizer = partial(
        comfy.sd1_clip.SDTokenizer,
        tokenizer_path=str(starter_file("tokenizer", folder).parent),
        max_length=config["max_position_embeddings"],
        embedding_size=config["hidden_size"],
    )
    ids = tokenizer()
    text_model = partial(
        comfy.sd1_clip.SDClipModel,
        max_length=config["max_position_embeddings"],
        textmodel_json_config=config,
        special_tokens={"start": ids.start_token, "end": ids.end_token, "pad": ids.pad_token},
        model_class=_TextModel,
        return_projected_pooled=False,
    )
    target = comfy.supported_models_base.ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, tokenizer=tokenizer),
        partial(comfy.sd1_clip.SD1ClipModel, clip_model=text_model),
    )
    weights = {f"text_model.{name}": value for name, value in read_text_encoder(folder).items()}
    # CLIP's projection into the space of pictures has no use here; ComfyUI's class has it always.
    weights["text_projection.weight"] = torch.eye(config["hidden_size"])
    clip = comfy.sd.CLIP(
        target,
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        parameters=comfy.utils.calculate_parameters(weights),
    )
    require_same_keys(path, clip.cond_stage_model.clip_l.transformer.state_dict(), weights)
    clip.load_sd(weights)
    return clip


def require_same_keys(path: Path, expected: Iterable[str], found: Iterable[str]) -> None:
    """Raise ValueError where a file's tensor names are not those of its configuration."""
    missing, foreign = set(expected) - set(found), set(found) - set(expected)
    if missing or foreign:
        raise ValueError(
            f"{path} does not fit its configuration: {len(missing)} weights are missing "
            f"({', '.join(sorted(missing)[:2])}) and {len(foreign)} are not known "
            f"({', '.join(sorted(foreign)[:2])}). Get the whole folder again."
        )
