"""Blended Latent Diffusion: the edit and the noised original, blended in latent space at each step.

Avrahami et al., "Blended Latent Diffusion", SIGGRAPH 2023, algorithm 1. The model sees neither mask
nor picture; only the blend ties the edit to its surroundings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.interface import Engine
from ..diffusion.latent import to_latent_size
from ..diffusion.sampling import sample
from .soft_inpaint import inpaint_condition


def blend_latents(
    image: Tensor,
    mask: Tensor,
    prompt: str,
    engine: Engine,
    seed: int = 0,
    steps: int = 20,
    guidance: float = 5.0,
    negative: str = "",
) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 whose masked part is painted anew as the prompt says.

    image [B, H, W, 3], mask [B, H, W], binary at latent size as in the paper. The engine's
    inpainting model is shown a blank picture with a full mask, which makes it a model for text
    alone. H and W are multiples of 8.
    """
    blank = inpaint_condition(image, torch.ones_like(mask), engine.encode, engine.latent_scale)
    cells = to_latent_size(mask, soft=False)
    text = engine.encode_text([prompt, negative])
    latent = blank.latent * engine.latent_scale
    sigmas = engine.sigmas("normal", steps)
    denoiser = engine.denoiser(text[:1], text[1:], guidance, blank.concat)
    result = sample(denoiser, latent, seed, sigmas, engine.sigma_max, cells)
    return engine.decode(result / engine.latent_scale)
