"""The starter networks, built from the recipe: SD 1.5's architectures, but narrower."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ...diffusion.latent import LATENT_SCALE

TOKENS = 77
# 32 groups over 32 channels would be instance normalisation, which loses absolute colour.
NORM_GROUPS = 8


def build_vae(network: Mapping[str, Any], size: int) -> AutoencoderKL:
    """Return an f8 autoencoder with 4 latent channels; `network` holds widths and depth."""
    levels = len(network["block_out_channels"])
    return AutoencoderKL(
        block_out_channels=tuple(network["block_out_channels"]),
        layers_per_block=network["layers_per_block"],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        norm_num_groups=NORM_GROUPS,
        sample_size=size,
        scaling_factor=LATENT_SCALE,
    )


def build_text_encoder(network: Mapping[str, Any], tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return a CLIP text model over the vocabulary of `tokenizer`."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=TOKENS,
        projection_dim=network["hidden_size"],
        hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **network,
    )
    return CLIPTextModel(config)


def build_unet(network: Mapping[str, Any], text_width: int, latent_size: int):
    """Return a 9-channel inpainting UNet with SD 1.5's topology: 4 levels, 12 decoder layers."""
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=9,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=tuple(network["block_out_channels"]),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=text_width,
        attention_head_dim=tuple(network["heads"]),
        norm_num_groups=NORM_GROUPS,
    )


def set_to_zero(layer: nn.Module) -> None:
    """Set the weights and biases of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def build_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule (noise prediction, scaled-linear betas)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
