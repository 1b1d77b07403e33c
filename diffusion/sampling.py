"""Running a denoiser from noise to a latent, the same on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .interface import Denoiser


def seeded_generator(seed: int) -> torch.Generator:
    """The CPU's random numbers for any whole number, of which the last 64 bits count."""
    return torch.Generator("cpu").manual_seed(seed % 2**64)


def seeded_noise(latent: Tensor, seed: int) -> Tensor:
    """Gaussian noise shaped as latent, drawn on the CPU so that every machine draws the same."""
    return torch.randn(latent.shape, generator=seeded_generator(seed)).to(latent.device)


def add_noise(latent: Tensor, noise: Tensor, sigma: Tensor, sigma_max: float) -> Tensor:
    """The latent [B, 4, h, w] at noise level sigma, from which a run starts.

    At the largest level the scale is that of a latent which is all noise, as in training.
    """
    full = float(sigma) >= sigma_max * (1 - 1e-5)
    return latent + noise * ((1 + sigma**2).sqrt() if full else sigma)


def masked(denoiser: Denoiser, latent: Tensor, noise: Tensor, mask: Tensor) -> Denoiser:
    """A denoiser that changes latent [B, 4, h, w] only under mask [B, 1, h, w].

    Outside the mask its input is the latent at the call's noise level and its result the clean
    latent; a soft mask mixes in proportion.
    """

    def denoise(x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        outside = latent + noise * sigma.view(-1, 1, 1, 1)
        denoised = denoiser(x * mask + outside * (1 - mask), sigma, **extra)
        return denoised * mask + latent * (1 - mask)

    return denoise


def sample(
    denoiser: Denoiser,
    latent: Tensor,
    seed: int,
    sigmas: Tensor,
    sigma_max: float,
    mask: Tensor | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """A whole run from latent [B, 4, h, w] with the seed's noise at sigmas[0], as KSampler's euler.

    mask [B, 1, h, w]: where the latent may change; see `masked`. callback as for `sample_euler`.
    """
    noise, sigmas = seeded_noise(latent, seed), sigmas.to(latent.device)
    if mask is not None:
        denoiser = masked(denoiser, latent, noise, mask.to(latent.device))
    start = add_noise(latent, noise, sigmas[0], sigma_max)
    return sample_euler(denoiser, start, sigmas, callback)


def sample_euler(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Euler's method from sigmas[0] to sigmas[-1] (Karras et al. 2022, algorithm 2 without churn).

    x [B, 4, h, w] is a latent at noise level sigmas[0]. callback(step, denoised) is called after
    every evaluation, for progress and for stopping a run by raising.
    """
    for step, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        denoised = denoiser(x, sigma.expand(len(x)))
        if callback is not None:
            callback(step, denoised)
        x = x + (x - denoised) / sigma * (following - sigma)
    return x
