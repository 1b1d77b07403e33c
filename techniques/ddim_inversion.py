"""DDIM inversion: the noise from which a model paints a given picture, and the way there.

Song et al., "Denoising Diffusion Implicit Models", section 4.3, as in DiffStyler (Li) and
Plug-and-Play (Tumanyan et al., CVPR 2023): from the picture's latent upward, the noise at each
timestep is the one that the model expects there in the latent one level below,
    z_t = sqrt(a_t) (z_s - sqrt(1 - a_s) eps(z_s, t)) / sqrt(a_s) + sqrt(1 - a_t) eps(z_s, t),
with an empty prompt and no guidance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.ddim import clean_latent, ddim_step, level_alpha, sampling_grid
from ..diffusion.taps import Branch

# Below this the inverted picture is visibly another one.
MIN_PSNR = 25.0

Progress = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Trajectory:
    """A picture's latents at every timestep of a sampling run, on the CPU, float32.

    timesteps [n], noisiest first; latents [n + 1, B, 4, h, w] at those, and last the clean latent.
    """

    timesteps: tuple[int, ...]
    latents: Tensor

    @property
    def clean(self) -> Tensor:
        """The picture's own latent [B, 4, h, w], to the bit."""
        return self.latents[-1]


def inversion_grid(steps: int, inversion_steps: int, train_steps: int = 1000) -> list[int]:
    """Timesteps of an inversion, upward, which hold every timestep that sampling reads.

    Its stride divides the sampling's, and is the largest that makes at least `inversion_steps`
    of the whole schedule; 999 visits every timestep. Raises ValueError as `sampling_grid`.
    """
    first = sampling_grid(steps, train_steps)[0]
    stride = train_steps // steps
    enough = [
        divisor
        for divisor in range(1, stride + 1)
        if stride % divisor == 0 and train_steps // divisor >= inversion_steps
    ]
    return list(range(1, first + 1, enough[-1] if enough else 1))


@torch.inference_mode()
def invert(
    latent: Tensor,
    branch: Branch,
    alphas: Tensor,
    steps: int = 50,
    inversion_steps: int = 999,
    progress: Progress | None = None,
) -> Trajectory:
    """Invert latents [B, 4, h, w] for a sampling run of `steps` steps.

    branch predicts noise for the empty prompt alone (R = 1); alphas [T] are its schedule's
    cumulated alphas. progress(step, clean latent so far) follows every step. Raises ValueError
    when the latent stops being finite, which 16 bits do to some models.
    """
    timesteps = sampling_grid(steps, len(alphas))
    wanted, kept = set(timesteps), []
    current, alpha = latent.float(), level_alpha(alphas, 0)
    for step, timestep in enumerate(inversion_grid(steps, inversion_steps, len(alphas))):
        noise = branch(current, timestep)[0]
        current, next_alpha = current.to(noise.device), level_alpha(alphas, timestep)
        current, alpha = ddim_step(current, noise, alpha, next_alpha), next_alpha
        if timestep in wanted:
            kept.append(current.cpu())
        if progress is not None:
            progress(step, clean_latent(current, noise, alpha))
    if not current.isfinite().all():
        raise ValueError(
            "The inversion ran into numbers that are not finite. Load the model in 32 bits, or "
            "take more inversion steps."
        )
    return Trajectory(tuple(timesteps), torch.stack([*reversed(kept), latent.float().cpu()]))


@torch.inference_mode()
def reconstruct(
    trajectory: Trajectory, branch: Branch, alphas: Tensor, progress: Progress | None = None
) -> Tensor:
    """Sample the inverted latents back [B, 4, h, w], with the same prompt and no guidance."""
    latent = trajectory.latents[0]
    following = [*trajectory.timesteps[1:], 0]
    for step, (timestep, after) in enumerate(zip(trajectory.timesteps, following, strict=True)):
        noise = branch(latent, timestep)[0]
        alpha = level_alpha(alphas, timestep)
        latent = latent.to(noise.device)
        if progress is not None:
            progress(step, clean_latent(latent, noise, alpha))
        latent = ddim_step(latent, noise, alpha, level_alpha(alphas, after))
    return latent


def psnr(picture: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in 0..1; infinity where they are equal."""
    error = float((picture.double() - reference.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)
