"""DDIM, the deterministic sampler whose steps can be taken backwards.

Song et al., "Denoising Diffusion Implicit Models", eq. 12 with eta = 0, on the grid of Stable
Diffusion: "leading" timesteps with an offset of 1, and the first training step's alpha where a
step would lead below it.
"""

from __future__ import annotations

from torch import Tensor


def sampling_grid(steps: int, train_steps: int = 1000) -> list[int]:
    """Timesteps of a run, noisiest first: 981, 961, ..., 1 for 50 steps.

    Raises ValueError where steps is not in 1..train_steps - 1.
    """
    if not 1 <= steps < train_steps:
        raise ValueError(f"DDIM takes 1 to {train_steps - 1} steps, not {steps}.")
    stride = train_steps // steps
    return [stride * (steps - 1 - step) + 1 for step in range(steps)]


def level_alpha(alphas: Tensor, timestep: int) -> float:
    """Cumulated alpha at a timestep; below the first one, at "no noise", it is the first one's."""
    return float(alphas[max(timestep, 0)])


def clean_latent(latent: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """The latent [..., h, w] without the noise that is expected in it at a level."""
    return (latent - (1 - alpha) ** 0.5 * noise) / alpha**0.5


def ddim_step(latent: Tensor, noise: Tensor, alpha: float, next_alpha: float) -> Tensor:
    """The latent [..., h, w] at another level, less noisy or noisier, for the same noise."""
    clean = clean_latent(latent, noise, alpha)
    return next_alpha**0.5 * clean + (1 - next_alpha) ** 0.5 * noise
