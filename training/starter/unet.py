"""Stage: the 9-channel inpainting UNet, on latents made before.

The text encoder stays as the stage before left it: it knows what captions say, and a step that
does not train it is a fifth shorter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor

from ..loop import AveragedWeights, Run, descend, step_generator, train, trapezoid_rate
from .inpainting import LatentSet
from .networks import build_scheduler, build_unet, silence
from .tokenizer import tokenize


def draw_captions(facts: list[dict], portraits, dropout: float, rng) -> list[str]:
    """Return one caption a portrait; some are left empty for classifier-free guidance."""
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
    # One timestep from each equal share of the schedule: the loss varies less between steps.
    share = torch.rand(1, generator=random) + torch.arange(batch)
    timesteps = (share / batch * scheduler.config.num_train_timesteps).long() % 1000
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


def start_silent(unet) -> None:
    """Let every residual branch and the output start at zero: the error falls sooner.

    Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021.
    """
    silence(block.conv2 for block in unet.modules() if isinstance(block, ResnetBlock2D))
    silence(block.proj_out for block in unet.modules() if isinstance(block, Transformer2DModel))
    silence([unet.conv_out])


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
    start_silent(unet)
    unet = unet.to(memory_format=torch.channels_last)
    # At 256 tokens plain attention is twice as fast on a CPU as the fused kernel's backward pass.
    unet.set_attn_processor(AttnProcessor())
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
        # Outside the mask the answer is given; most of the loss belongs inside.
        weight = weight * (0.25 + shown[:, 4:5])
        loss = (weight * (predicted - noise).square()).mean()
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        descend(loss, optimizer, rate, unet.parameters())
        average.update(unet)
        plain = (predicted.detach() - noise).square().mean()
        return {"loss": loss.item(), "mse": plain.item()}

    train(run, {"unet": unet, "average": average, "optimizer": optimizer}, take_step)
    unet.load_state_dict(average.weights)
    return unet.eval()
