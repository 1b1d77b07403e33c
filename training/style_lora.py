"""A style LoRA learned from one picture.

Li, "DiffStyler: Diffusion-based Localized Image Style Transfer", section on LoRA: low-rank layers
on all four projections of every attention learn to predict the noise in one picture,
L = E || eps - eps_theta(sqrt(a) z + sqrt(1 - a) eps, t, c) ||^2, everything else being frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines.lora_layers import TrainableLora
from ..models.style_lora import StyleLora
from ..techniques.shapes import as_image, split_alpha
from .loop import step_generator

# The starter's layers are a fifth as wide as SD's: the paper's rate hardly moves them.
STARTER_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class StyleLoraSettings:
    """Every choice of a training; the defaults are the paper's.

    size is the picture's short side in pixels while it is learned: the model's own. crops takes
    another square window of a picture that is not square at every step.
    """

    prompt: str = "painting of <sss>"
    rank: int = 16
    steps: int = 200
    learning_rate: float = 2e-4
    size: int = 512
    crops: bool = False
    seed: int = 0


def style_latents(
    picture: Tensor, encode: Callable[[Tensor], Tensor], latent_scale: float, size: int
) -> Tensor:
    """Latents [B, 4, h, w] of pictures [B, H, W, C] at a short side of `size` pixels.

    encode gives the posterior's mean, whose spread is a few thousandths of it.
    """
    picture, _ = split_alpha(as_image(picture))
    height, width = picture.shape[1:3]
    scale = size / min(height, width)
    sides = [max(8, round(side * scale / 8) * 8) for side in (height, width)]
    planes = picture.movedim(-1, 1)
    resized = F.interpolate(planes, sides, mode="bilinear", antialias=True, align_corners=False)
    return encode(resized.movedim(1, -1)) * latent_scale


def window_shape(latents: Tensor, crops: bool) -> tuple[int, ...]:
    """Shape [1, 4, h, w] of what one step sees: a whole picture, or a square of its short side."""
    height, width = latents.shape[-2:]
    side = min(height, width)
    return (1, 4, side, side) if crops else (1, 4, height, width)


def train_style_lora(
    latents: Tensor,
    trainable: AbstractContextManager[TrainableLora],
    settings: StyleLoraSettings,
    report: Callable[[int, float], None] | None = None,
) -> tuple[StyleLora, list[float]]:
    """Learn latents [B, 4, h, w] of one style; gives the LoRA and the loss of every step.

    report(step, loss) is called after every step and may stop the training by raising. Raises
    ValueError when the loss is not a finite number any more.
    """
    losses = []
    # Latents made in inference mode could not be saved for the backward pass.
    with torch.inference_mode(False), torch.enable_grad(), trainable as lora:
        latents = latents.detach().to(lora.parameters[0].device, torch.float32, copy=True)
        optimizer = torch.optim.AdamW(lora.parameters, lr=settings.learning_rate, weight_decay=1e-2)
        for step in range(settings.steps):
            generator = step_generator(settings.seed, step)
            loss = _noise_loss(_window(latents, settings.crops, generator), lora, generator)
            losses.append(float(loss.detach()))
            if not loss.isfinite():
                raise ValueError(
                    f"The loss is {losses[-1]} at step {step + 1}. Train in fp32, or with a lower "
                    f"learning rate than {settings.learning_rate}."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if report is not None:
                report(step, losses[-1])
        made = lora.lora()
    metadata = {
        "ss_network_dim": str(settings.rank),
        "ss_network_alpha": str(settings.rank),
        "ss_learning_rate": f"{settings.learning_rate:g}",
        "visage.prompt": settings.prompt,
        "visage.steps": str(settings.steps),
    }
    return replace(made, metadata=metadata), losses


def _window(latents: Tensor, crops: bool, generator: torch.Generator) -> Tensor:
    """One picture [1, 4, h, w], or a square somewhere in it."""

    def draw(high: int) -> int:
        return int(torch.randint(high, (1,), generator=generator))

    picture = latents[draw(len(latents))].unsqueeze(0)
    height, width = window_shape(latents, crops)[-2:]
    top, left = draw(latents.shape[-2] - height + 1), draw(latents.shape[-1] - width + 1)
    return picture[..., top : top + height, left : left + width]


def _noise_loss(latent: Tensor, lora: TrainableLora, generator: torch.Generator) -> Tensor:
    """Mean squared error of the model's own prediction at a timestep drawn at random."""
    timestep = int(torch.randint(len(lora.alphas), (1,), generator=generator))
    noise = torch.randn(latent.shape, generator=generator).to(latent.device)
    alpha = float(lora.alphas[timestep])
    noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
    loss = F.mse_loss(lora.branch(noisy, timestep)[0], noise)
    # An error in velocity is the error in noise over sqrt(alpha), the noisy latent being given.
    return loss / alpha if lora.velocity else loss
