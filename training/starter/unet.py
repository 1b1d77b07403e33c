"""Stage: the 9-channel inpainting UNet, trained on latents that were made before.

The text encoder is frozen: it already knows the captions, and a step is a fifth shorter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...engines.diffusers.initialise import use_plain_attention, zero_residual_branches
from ..loop import AveragedWeights, Run, optimizer_step, step_generator, train, trapezoid_rate
from .inpainting import LatentSet
from .networks import build_scheduler, build_unet, set_to_zero
from .tokenizer import tokenize


def draw_captions(facts: list[dict], portraits, dropout: float, rng) -> list[str]:
    """Return one caption for each portrait; some are empty for classifier-free guidance."""
    return [
        "" if rng.random() < dropout else str(rng.choice(facts[int(index)]["captions"]))
        for index in portraits
    ]


def noise_examples(examples: LatentSet, batch: int, step: int, seed: int, scheduler):
    """Return (portraits, noisy latents, UNet input, noise, timesteps) of one training step."""
    random = step_generator(seed, step)
    chosen = torch.randint(len(examples.latents), (batch,), generator=random)
    latents = examples.latents[chosen].float()
    noise = torch.randn(latents.shape, generator=random)
    # One timestep from each equal part of the schedule, so that the loss varies less.
    position = torch.rand(1, generator=random) + torch.arange(batch)
    timesteps = (position / batch * scheduler.config.num_train_timesteps).long() % 1000
    noisy = scheduler.add_noise(latents, noise, timesteps)
    shown = torch.cat([noisy, examples.concat[chosen].float()], dim=1)
    return examples.portrait[chosen], shown, noise, timesteps


def min_snr_weight(scheduler, timesteps: Tensor, gamma: float) -> Tensor:
    """Return min(SNR, gamma) / SNR [B, 1, 1, 1] for noise prediction.

    Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV 2023, eq. 5.
    """
    alphas = scheduler.alphas_cumprod[timesteps]
    ratio = alphas / (1 - alphas)
    return (ratio.clamp(max=gamma) / ratio)[:, None, None, None]


def start_at_zero(unet) -> None:
    """Set the last layers of residual branches and output to zero: training begins faster."""
    zero_residual_branches(unet)
    set_to_zero(unet.conv_out)


def train_unet(
    recipe: dict[str, Any],
    seed: int,
    tokenizer,
    text_encoder,
    facts: list[dict],
    examples: LatentSet,
    folder: Path,
):
    """Train the UNet and return its averaged weights in a UNet2DConditionModel."""
    torch.manual_seed(seed)
    width, latent_size = text_encoder.config.hidden_size, examples.latents.shape[-1]
    unet = build_unet(recipe["network"], width, latent_size)
    start_at_zero(unet)
    unet = unet.to(memory_format=torch.channels_last)
    use_plain_attention(unet)
    scheduler = build_scheduler()
    average = AveragedWeights(unet, recipe["ema"])
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    run = Run(folder, "unet", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 5, step])
        portraits, shown, noise, timesteps = noise_examples(
            examples, recipe["batch"], step, seed, scheduler
        )
        ids = tokenize(tokenizer, draw_captions(facts, portraits, recipe["caption_dropout"], rng))
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                text = text_encoder(input_ids=ids).last_hidden_state
            shown = shown.contiguous(memory_format=torch.channels_last)
            predicted = unet(shown, timesteps, text, return_dict=False)[0].float()
        weight = min_snr_weight(scheduler, timesteps, recipe["min_snr_gamma"])
        # Outside the mask the input holds the answer, so the loss counts mostly inside.
        weight = weight * (0.25 + shown[:, 4:5])
        loss = (weight * (predicted - noise).square()).mean()
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, unet.parameters())
        average.update(unet)
        plain = (predicted.detach() - noise).square().mean()
        return {"loss": loss.item(), "mse": plain.item()}

    train(run, {"unet": unet, "average": average, "optimizer": optimizer}, take_step)
    unet.load_state_dict(average.weights)
    return unet.eval()
