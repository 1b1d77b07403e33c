"""The interface of a diffusion model for trainers, independent of the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..diffusion.noise_schedule import NoiseSchedule

KV_PROJECTIONS = ("attn2.to_k.weight", "attn2.to_v.weight")


@dataclass(frozen=True)
class TrainableModel:
    """A UNet whose cross-attention K/V projections learn, and the frozen encoders around it.

    network(x [B, 9, h, w], timesteps [B], text [B, T, width]) gives the prediction [B, 4, h, w].
    projections: its K/V weights by diffusers name, float32; no other weight asks for gradients.
    encode: pictures [B, H, W, 3] in 0..1 to latents [B, 4, h, w], not scaled (the posterior's
    mean); decode: back; encode_text: prompts to embeddings [B, T, width]. They may be called
    inside `encoders(device)`, which brings VAE and text encoder to the device and takes them away
    again afterwards. prediction is "epsilon" or "v_prediction". The three keys name the weights.
    """

    network: nn.Module
    projections: dict[str, nn.Parameter]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    encode_text: Callable[[list[str]], Tensor]
    encoders: Callable[[torch.device], AbstractContextManager[None]]
    use_checkpointing: Callable[[], None]
    width: int
    latent_scale: float
    schedule: NoiseSchedule
    prediction: str
    unet_key: str
    vae_key: str
    text_key: str


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors: the same names and values give the same key on every machine."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
