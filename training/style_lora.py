"""A style LoRA learned from one picture.

Li, "DiffStyler: Diffusion-based Localized Image Style Transfer", section on LoRA: low-rank layers
on all four projections of every attention learn to predict the noise in one picture,
L = E || eps - eps_theta(sqrt(a) z + sqrt(1 - a) eps, t, c) ||^2. All other weights are frozen.
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

# The paper's rate hardly changes the starter, whose layers are a fifth as wide as SD's.
STARTER_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class StyleLoraSettings:
    """Settings of a training; the defaults are the paper's.

    size is the picture's shorter side in pixels during training, the model's own size. With crops
    every step sees another square window of a picture that is not square.
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
    """Encode pictures [B, H, W, C] in 0..1, with a shorter side of `size` pixels, as [B, 4, h, w].

    encode gives the posterior's mean; its spread is negligible.
    """
    picture, _ = split_alpha(as_image(picture))
    height, width = picture.shape[1:3]
    scale = size / min(height, width)
    sides = [max(8, round(side * scale / 8) * 8) for side in (height, width)]
    planes = picture.movedim(-1, 1)
    resized = F.interpolate(planes, sides, mode="bilinear", antialias=True, align_corners=False)
    return encode(resized.movedim(1, -1)) * latent_scale


def window_shape(latents: Tensor, crops: bool) -> tuple[int, ...]:
    """Shape [1, 4, h, w] of what a step sees: the picture, or a square of its shorter side."""
    height, width = latents.shape[-2:]
    side = min(height, width)
    return (1, 4, side, side) if crops else (1, 4, height, width)


def train_style_lora(
    latents: Tensor,
    trainable: AbstractContextManager[TrainableLora],
    settings: StyleLoraSettings,
    report: Callable[[int, float], None] | None = None,
) -> tuple[StyleLora, list[float]]:
    """Train on latents [B, 4, h, w] of one style; return the LoRA and the loss of every step.

    report(step, loss) is called after every step and may stop the training by raising. Raises
    ValueError when the loss is no longer a finite number.
    """
    losses = []
    # Autograd cannot save latents that were made in inference mode.
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
    """One picture [1, 4, h, w], or a square at a random place in it."""

    def draw(high: int) -> int:
        return int(torch.randint(high, (1,), generator=generator))

    picture = latents[draw(len(latents))].unsqueeze(0)
    height, width = window_shape(latents, crops)[-2:]
    top, left = draw(latents.shape[-2] - height + 1), draw(latents.shape[-1] - width + 1)
    return picture[..., top : top + height, left : left + width]


def _noise_loss(latent: Tensor, lora: TrainableLora, generator: torch.Generator) -> Tensor:
    """Mean squared error of the model's prediction at a random timestep."""
    timestep = int(torch.randint(len(lora.alphas), (1,), generator=generator))
    noise = torch.randn(latent.shape, generator=generator).to(latent.device)
    alpha = float(lora.alphas[timestep])
    noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
    loss = F.mse_loss(lora.branch(noisy, timestep)[0], noise)
    # For a given noisy latent the error in velocity is the error in noise over sqrt(alpha).
    return loss / alpha if lora.velocity else loss
