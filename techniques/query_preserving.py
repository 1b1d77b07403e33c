"""Style from a picture without training: queries of the content, keys and values of the style.

StyleID (Chung et al., "Style Injection in Diffusion", CVPR 2024). Both pictures are inverted, the
content's noise takes the style's channel statistics (AdaIN), and in the decoder's upper
self-attentions each step mixes the content's queries in and attends to the style's keys and values,
    Q^ = gamma Q^c + (1 - gamma) Q,    Attn(tau Q^, K^s, V^s),
all read at the very noise level of the step. tau sharpens what mixing queries has blurred.

The authors' code differs in three ways. It keeps the latent of an inversion step under the
timestep that the step leaves, one level too low, and samples 49 of 50 steps, from 961 down; here a
latent belongs to its own timestep and all steps are sampled, from 981. It inverts in as many steps
as it samples; here a caller may invert in more, and the node takes 100 for 50. And it crops both
pictures to 512 x 512; here each keeps its size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.ddim import clean_latent, ddim_step, level_alpha
from ..diffusion.self_attention import Features, for_rows, read_features, style_attentions
from ..diffusion.taps import Attend, Attention, Branch, Taps
from .ddim_inversion import Trajectory
from .identity_guard import IdentityGuard, anchored, attend_guarded
from .latent_adain import latent_adain


@dataclass(frozen=True)
class QueryPreserving:
    """gamma: fraction of the content's queries; 0.75 is the paper's, 0.3 its strong style.
    temperature: tau. adain: how far the initial noise takes the style's statistics."""

    gamma: float = 0.75
    temperature: float = 1.5
    adain: float = 1.0


@torch.inference_mode()
def transfer_style(
    content: Trajectory,
    style: Trajectory,
    branch: Branch,
    style_branch: Branch,
    alphas: Tensor,
    attention_layers: Collection[int],
    settings: QueryPreserving | None = None,
    guard: IdentityGuard | None = None,
    progress: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The inverted content [B, 4, h, w] in the inverted style [B or 1, 4, h', w']; a clean latent.

    branch and style_branch are one model with one prompt for the two sizes, with which both were
    inverted, over the same timesteps. progress(step, clean latent so far) follows every step.
    Raises ValueError when the two were inverted for different runs.
    """
    settings = settings or QueryPreserving()
    if content.timesteps != style.timesteps:
        raise ValueError(
            f"The content was inverted for {len(content.timesteps)} steps and the style for "
            f"{len(style.timesteps)}. Invert both for the same number of steps."
        )
    attentions = style_attentions(attention_layers)
    latent = latent_adain(content.latents[0], style.latents[0], settings.adain)
    for step, timestep in enumerate(content.timesteps):
        of_content = read_features(branch, content.latents[step], timestep, attentions)
        of_style = read_features(style_branch, style.latents[step], timestep, attentions)
        run_progress = 1 - timestep / len(alphas)
        active = guard if guard is not None and guard.acts_at(run_progress) else None
        taps = transfer_taps(of_content, of_style, settings, active)
        noise = branch(latent, timestep, taps)[0]
        latent, alpha = latent.to(noise.device), level_alpha(alphas, timestep)
        clean = clean_latent(latent, noise, alpha)
        if active is not None:
            clean = anchored(clean, active, run_progress)
            noise = (latent - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        below = content.timesteps[step + 1] if step + 1 < len(content.timesteps) else 0
        latent = ddim_step(latent, noise, alpha, level_alpha(alphas, below))
        if progress is not None:
            progress(step, clean)
    return latent


def transfer_taps(
    content: Features, style: Features, settings: QueryPreserving, guard: IdentityGuard | None
) -> Taps:
    """Taps for one pass that attends to the style's keys and values with the content's queries; in
    faces the guard, if any, changes both.
    """

    def replace(attention: Attention):
        def attend_to_style(block: int, q: Tensor, k: Tensor, v: Tensor, attend: Attend) -> Tensor:
            own = [for_rows(part, len(q)) for part in content[attention, block]]
            _, keys, values = (for_rows(part, len(q)) for part in style[attention, block])
            if guard is not None:
                tau = settings.temperature
                return attend_guarded(q, keys, values, own, guard, attend, settings.gamma, tau)
            return attend(settings.temperature * q.lerp(own[0], settings.gamma), keys, values)

        return attend_to_style

    return Taps(attentions={attention: replace(attention) for attention, _ in content})
