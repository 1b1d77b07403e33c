"""Stage: the f8 autoencoder, trained on crops of rendered portraits and of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..loop import AveragedWeights, Run, cosine_rate, train, trapezoid_rate
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
        crops.append(jitter_colour(crop.astype(np.float32) / 255, rng, 0.4))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) * 2 - 1


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Return squared and absolute error, the squared error of each latent cell's mean colour,
    and the absolute error of gradients at two scales.
    """
    difference = decoded - pixels
    loss = difference.square().mean() + 0.1 * difference.abs().mean()
    # Large even areas must keep their colour.
    loss = loss + 4 * F.avg_pool2d(difference, 8).square().mean()
    for scale in (difference, F.avg_pool2d(difference, 2)):
        loss = loss + 0.05 * (scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean())
    return loss


def correlation(latents: Tensor) -> Tensor:
    """Return the mean squared correlation between different channels of [B, 4, h, w].

    Without it a short training leaves the channels copies of each other.
    """
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-6)
    matrix = rows.T @ rows / len(rows)
    return (matrix - matrix.diag().diag()).square().mean()


def colour_residual(latents: Tensor, pixels: Tensor) -> Tensor:
    """Return the squared error of each latent cell's mean colour [B, 3, h, w], fitted linearly.

    latents [B, 4, h, w], pixels [B, 3, 8h, 8w]. It asks the encoder for the colour on its own; by
    way of the decoder alone a short training never finds the axis from green to magenta.
    """
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    colours = F.avg_pool2d(pixels, 8).movedim(1, -1).reshape(-1, 3)
    gram = rows.T @ rows + 1e-3 * torch.eye(rows.shape[1])
    fitted = rows @ torch.linalg.solve(gram, rows.T @ colours)
    return (fitted - colours).square().mean()


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
        means = distribution.mean.float()
        loss = loss + recipe["correlation_weight"] * correlation(means)
        loss = loss + recipe["colour_weight"] * colour_residual(means, pixels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae)
        return {"loss": loss.item(), "psnr": _psnr(decoded.detach(), pixels)}

    train(run, {"vae": vae, "average": average, "optimizer": optimizer}, take_step)
    vae.load_state_dict(average.weights)
    return vae.eval()


def train_decoder(recipe: dict[str, Any], seed: int, vae, portraits: PortraitSet, folder: Path):
    """Train the decoder on, with the latents as they are; returns `vae` with its average.

    `recipe` holds steps, batch, crop, photo_share and learning_rate. A UNet that was trained on
    these latents stays right.
    """
    torch.manual_seed(seed)
    vae.requires_grad_(False)
    decoder = nn.ModuleDict({"post": vae.post_quant_conv, "decoder": vae.decoder})
    decoder.requires_grad_(True)
    average = AveragedWeights(decoder, 0.998)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=0.0, betas=(0.9, 0.99), fused=True)
    photos = photographs()
    run = Run(folder, "vae_decoder", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 7, step])
        pixels = _batch(recipe, portraits, photos, rng)
        for group in optimizer.param_groups:
            group["lr"] = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                shown = pixels.contiguous(memory_format=torch.channels_last)
                latents = vae.encode(shown).latent_dist.mode()
            decoded = vae.decode(latents).sample.float()
        loss = reconstruction_loss(decoded, pixels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        average.update(decoder)
        return {"loss": loss.item(), "psnr": _psnr(decoded.detach(), pixels)}

    train(run, {"decoder": decoder, "average": average, "optimizer": optimizer}, take_step)
    decoder.load_state_dict(average.weights)
    return vae.eval()


def _psnr(decoded: Tensor, pixels: Tensor) -> float:
    """Return the PSNR in dB of pictures in -1..1."""
    error = F.mse_loss(decoded, pixels).item() / 4
    return -10 * float(np.log10(max(error, 1e-9)))


@torch.no_grad()
def _sample_latents(vae, portraits: PortraitSet, size: int) -> tuple[Tensor, Tensor]:
    """Return 256 portraits [256, 3, size, size] in -1..1 and their unscaled latents."""
    chosen = portraits.images[:: max(1, len(portraits.images) // 256)][:256]
    small = np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in chosen])
    pixels = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, torch.cat([vae.encode(part).latent_dist.mode() for part in pixels.split(16)])


@torch.no_grad()
def standardise_latents(vae, portraits: PortraitSet, size: int) -> None:
    """Fold a whitening map of the four channels into the 1x1 convolutions around the latent.

    Afterwards the latents times LATENT_SCALE have mean 0, deviation 1 and no correlation over
    portraits, as Stable Diffusion's samplers expect, and reconstruction is unchanged.
    """
    _, latents = _sample_latents(vae, portraits, size)
    rows = latents.movedim(1, -1).reshape(-1, 4).double()
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    spread = vectors @ values.sqrt().diag() @ vectors.T * LATENT_SCALE
    whitening = torch.linalg.inv(spread)
    before, after = vae.quant_conv, vae.post_quant_conv
    weight, bias = before.weight[:4, :, 0, 0].double(), before.bias[:4].double()
    before.weight[:4] = (whitening @ weight).float()[:, :, None, None]
    before.bias[:4] = (whitening @ (bias - mean)).float()
    # A diagonal posterior cannot be rotated; its deviation is scaled by the map's size alone.
    before.bias[4:] += 2 * whitening.norm(dim=1).log().float()
    weight = after.weight[:, :, 0, 0].double()
    after.bias += (weight @ mean).float()
    after.weight.copy_((weight @ spread).float()[:, :, None, None])


@torch.no_grad()
def preview_factors(vae, portraits: PortraitSet, size: int) -> dict[str, list]:
    """Return the linear map from scaled latents to RGB that previews use (least squares)."""
    pixels, latents = _sample_latents(vae, portraits, size)
    colours = F.avg_pool2d(pixels, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    rows = (latents * LATENT_SCALE).permute(0, 2, 3, 1).reshape(-1, 4)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    solution = torch.linalg.lstsq(rows, colours).solution
    return {"factors": solution[:4].tolist(), "bias": solution[4].tolist()}
