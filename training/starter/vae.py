"""Stage: the f8 autoencoder, trained on crops of rendered portraits and of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..loop import AveragedWeights, Run, cosine_rate, train
from .augment import jitter_colour, random_crop
from .dataset import PortraitSet, photographs
from .networks import LATENT_SCALE, build_vae


def _batch(recipe: dict, portraits: PortraitSet, photos: list[np.ndarray], rng) -> Tensor:
    """Return crops [B, 3, S, S] in -1..1."""
    crops = []
    for _ in range(recipe["batch"]):
        if rng.random() < recipe["photo_share"]:
            source, scale = photos[rng.integers(len(photos))], float(rng.uniform(0.25, 1.0))
        else:
            source = portraits.images[rng.integers(len(portraits.images))]
            scale = float(rng.uniform(0.4, 0.8))
        crop = random_crop(source, recipe["crop"], scale, rng)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(jitter_colour(crop.astype(np.float32) / 255, rng, 0.5))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) * 2 - 1


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Return squared and absolute error, and the absolute error of gradients at two scales."""
    difference = decoded - pixels
    loss = difference.square().mean() + 0.1 * difference.abs().mean()
    for scale in (difference, F.avg_pool2d(difference, 2)):
        loss = loss + 0.05 * (scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean())
    return loss


def train_vae(recipe: dict[str, Any], seed: int, size: int, portraits: PortraitSet, folder: Path):
    """Train the autoencoder and return its averaged weights in an AutoencoderKL."""
    torch.manual_seed(seed)
    vae = build_vae(recipe["network"], size).to(memory_format=torch.channels_last)
    average = AveragedWeights(vae, 0.998)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=recipe["learning_rate"], betas=(0.9, 0.99), weight_decay=1e-4
    )
    photos = photographs()
    run = Run(folder, "vae", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 1, step])
        pixels = _batch(recipe, portraits, photos, rng)
        for group in optimizer.param_groups:
            group["lr"] = recipe["learning_rate"] * cosine_rate(step, run.steps)
        noise_source = torch.Generator().manual_seed(int(rng.integers(2**31)))
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pixels.contiguous(memory_format=torch.channels_last))
            distribution = posterior.latent_dist
            decoded = vae.decode(distribution.sample(noise_source)).sample.float()
        divergence = distribution.kl().mean() / distribution.mean[0].numel()
        loss = reconstruction_loss(decoded, pixels) + recipe["kl_weight"] * divergence
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        error = F.mse_loss(decoded.detach(), pixels).item() / 4
        return {"loss": loss.item(), "psnr": -10 * float(np.log10(max(error, 1e-9)))}

    train(run, {"vae": vae, "average": average, "optimizer": optimizer}, take_step)
    vae.load_state_dict(average.weights)
    return vae.eval()


@torch.no_grad()
def _sample_latents(vae, portraits: PortraitSet, size: int) -> tuple[Tensor, Tensor]:
    """Return 256 portraits [256, 3, size, size] in -1..1 and their unscaled latents."""
    chosen = portraits.images[:: max(1, len(portraits.images) // 256)][:256]
    small = np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in chosen])
    pixels = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, torch.cat([vae.encode(part).latent_dist.mode() for part in pixels.split(16)])


@torch.no_grad()
def standardise_latents(vae, portraits: PortraitSet, size: int) -> None:
    """Fold a per-channel affine map into the 1x1 convolutions around the latent.

    Afterwards every latent channel times LATENT_SCALE has mean 0 and deviation 1 over portraits,
    as Stable Diffusion's samplers expect, and reconstruction is unchanged.
    """
    _, latents = _sample_latents(vae, portraits, size)
    mean = latents.mean(dim=(0, 2, 3))
    gain = 1 / (latents.std(dim=(0, 2, 3)) * LATENT_SCALE)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:4] *= gain[:, None, None, None]
    before.bias[:4] = (before.bias[:4] - mean) * gain
    before.bias[4:] += 2 * gain.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= gain[None, :, None, None]


@torch.no_grad()
def preview_factors(vae, portraits: PortraitSet, size: int) -> dict[str, list]:
    """Return the linear map from scaled latents to RGB that previews use (least squares)."""
    pixels, latents = _sample_latents(vae, portraits, size)
    colours = F.avg_pool2d(pixels, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    rows = (latents * LATENT_SCALE).permute(0, 2, 3, 1).reshape(-1, 4)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    solution = torch.linalg.lstsq(rows, colours).solution
    return {"factors": solution[:4].tolist(), "bias": solution[4].tolist()}
