"""Stage: the f8 autoencoder, trained on crops of rendered portraits and of photographs.

Encoder and decoder are trained together on small crops, then the decoder on larger ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...engines.diffusers.initialise import zero_residual_branches
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from .augment import jitter_colour, random_crop
from .dataset import PortraitSet, photographs
from .networks import LATENT_SCALE, build_vae, set_to_zero


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
    """Return the sum of squared and absolute error, the squared error of each latent cell's mean
    colour, and the absolute error of gradients at two scales.
    """
    difference = decoded - pixels
    loss = difference.square().mean() + 0.1 * difference.abs().mean()
    # Keeps the colour of large even areas.
    loss = loss + 4 * F.avg_pool2d(difference, 8).square().mean()
    for scale in (difference, F.avg_pool2d(difference, 2)):
        loss = loss + 0.05 * (scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean())
    return loss


# Luminance and two colour differences, with about equal spread in pictures.
COLOUR_AXES = torch.tensor([[1.0, 1.0, 1.0], [3.0, -3.0, 0.0], [1.5, 1.5, -3.0]]) / 3
# Dominates the spread that group normalisation divides by, which makes it nearly linear.
ANCHOR = 3.0


@torch.no_grad()
def start_with_colours(vae) -> None:
    """Initialise the network so that every latent cell carries its mean colour.

    Normalised layers learn absolute colour last of all. Here the residual stream carries it through
    the network: each axis c is the pair (c, -c), since silu(c) - silu(-c) = c, beside a constant
    pair (ANCHOR, -ANCHOR), and the residual branches start at zero.
    """
    zero_residual_branches(vae)
    encoder, decoder = vae.encoder, vae.decoder
    box = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) / 4
    tent = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
    carried = 4 * len(COLOUR_AXES)

    _enter(encoder.conv_in, COLOUR_AXES)
    for block in encoder.down_blocks:
        _carry(block, [sampler.conv for sampler in block.downsamplers or ()], carried, box)
    _leave(encoder.conv_out, torch.eye(3))
    nn.init.zeros_(encoder.conv_out.weight[4:])
    nn.init.constant_(encoder.conv_out.bias[4:], -6.0)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight.copy_(torch.eye(len(conv.weight))[:, :, None, None])
        nn.init.zeros_(conv.bias)

    _enter(decoder.conv_in, torch.eye(3, 4))
    for block in decoder.up_blocks:
        _carry(block, [sampler.conv for sampler in block.upsamplers or ()], carried, tent)
    set_to_zero(decoder.conv_out)
    _leave(decoder.conv_out, torch.linalg.inv(COLOUR_AXES))


def _enter(conv: nn.Conv2d, axes: Tensor) -> None:
    """Make a convolution that writes (c, -c, ANCHOR, -ANCHOR) for each axis [A, channels]."""
    for number, axis in enumerate(axes):
        rows = slice(4 * number, 4 * number + 4)
        nn.init.zeros_(conv.weight[rows])
        conv.weight[4 * number, :, 1, 1] = axis
        conv.weight[4 * number + 1, :, 1, 1] = -axis
        conv.bias[rows] = torch.tensor([0.0, 0.0, ANCHOR, -ANCHOR])


def _carry(block: Any, samplers: list[nn.Conv2d], carried: int, kernel: Tensor) -> None:
    """Make a block pass the stream on, resampled by `kernel` [3, 3]."""
    shortcuts = [resnet.conv_shortcut for resnet in block.resnets]
    for conv in [*(shortcut for shortcut in shortcuts if shortcut is not None), *samplers]:
        nn.init.zeros_(conv.weight[:carried])
        nn.init.zeros_(conv.bias[:carried])
        for channel in range(carried):
            conv.weight[channel, channel] = kernel if conv.kernel_size == (3, 3) else 1.0


def _leave(conv: nn.Conv2d, axes: Tensor) -> None:
    """Make a convolution that reads the normalised stream's colours, times axes [A, 3]."""
    rows = len(axes)
    nn.init.zeros_(conv.weight[:rows])
    nn.init.zeros_(conv.bias[:rows])
    # A group of four channels has one pair of anchors, whose effect on its spread is undone here.
    spread = (2 * ANCHOR**2 / 4) ** 0.5
    for number in range(3):
        conv.weight[:rows, 4 * number, 1, 1] = axes[:, number] * spread
        conv.weight[:rows, 4 * number + 1, 1, 1] = -axes[:, number] * spread


def train_vae(recipe: dict[str, Any], seed: int, size: int, portraits: PortraitSet, folder: Path):
    """Train the autoencoder and return its averaged weights in an AutoencoderKL."""
    torch.manual_seed(seed)
    vae = build_vae(recipe["network"], size)
    start_with_colours(vae)
    vae = vae.to(memory_format=torch.channels_last)
    average = AveragedWeights(vae, 0.998)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=recipe["learning_rate"], betas=(0.9, 0.99), weight_decay=1e-4
    )
    photos = photographs()
    run = Run(folder, "vae", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 1, step])
        pixels = _batch(recipe, portraits, photos, rng)
        noise_source = torch.Generator().manual_seed(int(rng.integers(2**31)))
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pixels.contiguous(memory_format=torch.channels_last))
            distribution = posterior.latent_dist
            decoded = vae.decode(distribution.sample(noise_source)).sample.float()
        divergence = distribution.kl().mean() / distribution.mean[0].numel()
        loss = reconstruction_loss(decoded, pixels) + recipe["kl_weight"] * divergence
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, vae.parameters())
        average.update(vae)
        return {"loss": loss.item(), "psnr": psnr(decoded.detach(), pixels)}

    train(run, {"vae": vae, "average": average, "optimizer": optimizer}, take_step)
    vae.load_state_dict(average.weights)
    return vae.eval()


def train_decoder(
    recipe: dict[str, Any], seed: int, vae, portraits: PortraitSet, folder: Path
) -> None:
    """Train the decoder further, in place; it ends with its averaged weights.

    The encoder is frozen, so the latents that other stages learn from do not change.
    """
    torch.manual_seed(seed)
    decoder = nn.ModuleDict({"quant": vae.post_quant_conv, "decoder": vae.decoder})
    vae.to(memory_format=torch.channels_last)
    average = AveragedWeights(decoder, 0.998)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=recipe["learning_rate"], betas=(0.9, 0.99), weight_decay=1e-4
    )
    photos = photographs()
    run = Run(folder, "decoder", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 3, step])
        pixels = _batch(recipe, portraits, photos, rng)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                shown = pixels.contiguous(memory_format=torch.channels_last)
                latents = vae.encode(shown).latent_dist.mode()
            decoded = vae.decode(latents).sample.float()
        loss = reconstruction_loss(decoded, pixels)
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, decoder.parameters())
        average.update(decoder)
        return {"loss": loss.item(), "psnr": psnr(decoded.detach(), pixels)}

    train(run, {"decoder": decoder, "average": average, "optimizer": optimizer}, take_step)
    decoder.load_state_dict(average.weights)


def psnr(decoded: Tensor, pixels: Tensor) -> float:
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
    portraits, as Stable Diffusion's samplers expect. Reconstruction is unchanged.
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
    # A diagonal posterior cannot be rotated; its deviation is scaled by the map's row norms.
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
