"""Style from a picture by optimising the content's latent.

Zhou et al., "Attention Distillation: A Unified Approach to Visual Characteristics Transfer" (CVPR
2025). At each timestep, downwards, the latent itself (no noise is added) takes one step of Adam on
    L = sum_l mean |Attn(Q, K, V) - Attn(Q, K^s, V^s)| + w_c sum_l mean |Q - Q^c|
over the decoder's upper self-attentions l: what each place would see if it looked at the style, and
the content's queries. Targets have no gradient. With an identity guard the first target is its T,
the second term is weighted by the faces, and its anchor is added; see `identity_guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.ddim import sampling_grid
from ..diffusion.self_attention import (
    Features,
    attention,
    for_rows,
    read_features,
    style_attentions,
)
from ..diffusion.taps import Attend, Attention, Branch, Taps
from .identity_guard import (
    IdentityGuard,
    anchor_loss,
    anchor_weight,
    content_fraction,
    query_loss,
    query_weight,
    restyled,
    reweighted,
)


@dataclass(frozen=True)
class AttentionDistillation:
    """steps: timesteps, one update each; content_weight: w_c (the authors use 0.26 for faces);
    learning_rate: Adam's."""

    steps: int = 200
    content_weight: float = 0.25
    learning_rate: float = 0.05


def distil_style(
    content: Tensor,
    style: Tensor,
    branch: Branch,
    style_branch: Branch,
    alphas: Tensor,
    attention_layers: Collection[int],
    settings: AttentionDistillation | None = None,
    guard: IdentityGuard | None = None,
    progress: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Clean latents [B, 4, h, w] of the content in the style of latents [B or 1, 4, h', w'].

    branch and style_branch are one model with one (empty) prompt for the two sizes, made of
    tensors that gradients can pass: nothing that was loaded in inference mode. progress(step,
    latent so far) follows every step. Raises ValueError when the loss is no finite number any more.
    """
    settings = settings or AttentionDistillation()
    attentions = style_attentions(attention_layers)
    timesteps = sampling_grid(settings.steps, len(alphas))
    with torch.inference_mode(False), torch.enable_grad():
        content, style = (part.detach().float().clone() for part in (content, style))
        latent = content.clone().requires_grad_()
        optimizer = torch.optim.Adam([latent], lr=settings.learning_rate)
        other = _other_original(content, guard)
        for step, timestep in enumerate(timesteps):
            run_progress = 1 - timestep / len(alphas)
            active = guard if guard is not None and guard.acts_at(run_progress) else None
            with torch.no_grad():
                of_content = read_features(branch, content, timestep, attentions)
                of_style = read_features(style_branch, style, timestep, attentions)
                original = None
                if active is not None and other is not None:
                    original = read_features(branch, other, timestep, attentions)
            weight = settings.content_weight
            loss = distillation_loss(
                latent, branch, timestep, of_content, of_style, weight, active, original
            )
            if active is not None and active.terms.anchor:
                loss = loss + anchor_weight(active.terms.anchor, run_progress) * anchor_loss(
                    latent, active
                )
            if not loss.isfinite():
                raise ValueError(
                    f"The loss is {float(loss.detach())} at step {step + 1}. Load the model in 32 "
                    f"bits, or take a lower learning rate than {settings.learning_rate}."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(step, latent.detach())
        return latent.detach()


def _other_original(content: Tensor, guard: IdentityGuard | None) -> Tensor | None:
    """The guard's content [B, 4, h, w] if it is used and is another picture than the run's."""
    if guard is None or guard.terms.original == 0:
        return None
    original = for_rows(guard.content.detach().clone().to(content), len(content))
    return None if torch.equal(original, content) else original


def distillation_loss(
    latent: Tensor,
    branch: Branch,
    timestep: int,
    of_content: Features,
    of_style: Features,
    content_weight: float,
    guard: IdentityGuard | None = None,
    original: Features | None = None,
) -> Tensor:
    """L of one pass over latents [B, 4, h, w] without the anchor: each picture's, summed.

    The authors average over a batch. A sum moves each picture as it would move alone: Adam's
    epsilon does not scale with the gradient.

    of_content, of_style: features of the content and of the style; original: those of the guard's
    content, where it is another picture.
    """
    losses: list[Tensor] = []

    def compare(attention: Attention):
        def attend_and_compare(
            block: int, q: Tensor, k: Tensor, v: Tensor, attend: Attend
        ) -> Tensor:
            out = attend(q, k, v)
            place = (attention, block)
            own = tuple(for_rows(part, len(q)) for part in of_content[place])
            with torch.no_grad():
                seen = [for_rows(part, len(q)) for part in of_style[place]]
                target = _target(q, seen, own, guard, attend)
                queries, weight = own[0], q.new_ones(q.shape[:2])
                if guard is not None:
                    weight = query_weight(guard.tokens(*q.shape[:2]).to(q), guard.terms.mu)
                if guard is not None and original is not None:
                    queries = queries.lerp(
                        for_rows(original[place][0], len(q)), guard.terms.original
                    )
            style_loss = (out - target).float().abs().mean(dim=(1, 2))
            losses.append(style_loss + content_weight * query_loss(q, queries, weight))
            return out

        return attend_and_compare

    taps = Taps(attentions={attention: compare(attention) for attention, _ in of_content})
    branch(latent, timestep, taps)
    return torch.stack(losses).sum()


def _target(
    q: Tensor, style: list[Tensor], content: tuple[Tensor, ...], guard: IdentityGuard | None,
    attend: Attend,
) -> Tensor:  # fmt: skip
    """T, or what the queries see of the style alone."""
    _, keys, values = style
    styled = attention(q, keys, values, attend.heads)
    if guard is None or guard.terms.omega == 0:
        return styled
    _, content_keys, content_values = content
    bias = guard.terms.omega * guard.tokens(*q.shape[:2]).to(q)
    fraction = content_fraction(q, keys, content_keys, bias, guard.terms.p_max, attend.heads)
    towards = attention(q, content_keys, restyled(content_values, values), attend.heads)
    return reweighted(styled, towards, fraction)
