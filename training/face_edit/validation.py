"""Validation pictures: the same edits from the same noise each time, to compare over training."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusion.interface import Denoiser
from ...diffusion.sampling import sample
from ...engines.trainable import TrainableModel
from ...techniques.text_adapter import adapt_text
from .cache import Cache, read_latents, read_text
from .learner import FaceEditLearner

GUIDANCE = 5.0
SEED = 42


@torch.no_grad()
def draw_validation(
    learner: FaceEditLearner,
    model: TrainableModel,
    cache: Cache,
    steps: int,
    device: torch.device,
) -> Tensor:
    """Draw two rows [2 S, N S, 3] in 0..1: the pictures decoded by the VAE, and their edits.

    Each picture is edited with its first caption, so the edit should show a face that fits it.
    """
    stored = [read_latents(example) for example in cache.examples]
    latents = torch.stack([item["pictures"][0] for item in stored]).to(device)
    mask = torch.stack([item["mask"] for item in stored]).to(device)
    concat = torch.cat((mask, torch.stack([item["masked"][0] for item in stored]).to(device)), 1)
    positive = torch.stack([read_text(example.texts[0]) for example in cache.examples]).to(device)
    negative = read_text(cache.empty_text).to(device).expand_as(positive)
    if learner.adapter is not None:
        strength = learner.config.adapter_strength
        positive = adapt_text(positive, mask.squeeze(1), learner.adapter, strength)
    sigmas = model.schedule.schedule("normal", steps)
    denoiser = _denoiser(learner, model, torch.cat((positive, negative)), concat)
    edited = sample(denoiser, latents, SEED, sigmas, model.schedule.sigma_max, mask)
    with model.encoders(device):
        rows = [model.decode(part / model.latent_scale) for part in (latents, edited)]
    return torch.cat([torch.cat(list(row), dim=1) for row in rows])


def _denoiser(
    learner: FaceEditLearner, model: TrainableModel, text: Tensor, concat: Tensor
) -> Denoiser:
    """The trained network with guidance; text [2 B, T, d] holds positive, then negative prompts."""

    def denoise(x: Tensor, sigma: Tensor, **_) -> Tensor:
        level = sigma.view(-1, 1, 1, 1)
        scale = (level**2 + 1).sqrt()
        shown = torch.cat((x / scale, concat), dim=1).repeat(2, 1, 1, 1)
        timesteps = model.schedule.timestep(sigma).repeat(2)
        output = learner.network(shown, timesteps, text).float()
        positive, negative = output.chunk(2)
        output = negative + (positive - negative) * GUIDANCE
        if learner.prediction == "epsilon":
            return x - output * level
        return x / scale**2 - output * level / scale

    return denoise
