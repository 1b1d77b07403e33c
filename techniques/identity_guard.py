"""The content-consistency guard: while a picture takes a style, its faces look at the original.

After Rezaei et al., "Training-Free Identity Preservation in Stylized Image Generation Using
Diffusion Models" (2025), whose three headings are a content-attention re-weighting, a spatial
masking guidance and an anchoring in the original picture. The equations are ours. In one
self-attention layer with queries Q, keys K and values V, where ^s is the style, ^c the content and
M_i the face mask at token i:

(a) p_i = min(p_max, sigmoid(a^c_i - a^s_i + ln(omega M_i))), a_i = log sum_j e^(Q_i K_j / sqrt(d)),
    T_i = (1 - p_i) Attn(Q, K^s, V^s)_i + p_i Attn(Q, K^c, V~^c)_i,
    which up to p_max is one softmax over both pictures' keys with a bias ln(omega M_i) on the
    content's. V~^c has the style's mean and spread: the content says what goes where, not which
    colour it has.
(b) queries are held to the content's with weights w_i = 1 + (mu - 1) M_i.
(c) N_M(G z) is held to the original's, N_M being each face's normalisation of each latent channel
    and G a 3 x 3 Gaussian: palette and contrast are free, geometry is not.

As a loss the three guide a latent that is optimised (`attention_distillation`). Without gradients
the same terms are applied directly: T is the attention's output, the content's queries are mixed in
with gamma_i, and the expected clean latent takes a step towards the anchor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.self_attention import (
    Features,
    Projections,
    attention,
    for_rows,
    log_partition,
    split_heads,
)
from ..diffusion.taps import Attend, Attention, Taps
from .latent_adain import FLAT, channel_statistics
from .latent_masks import token_mask

# Fewer cells than this have no statistics worth normalising by.
_MIN_CELLS = 4
# The anchor holds fully for this fraction of a run, the noisy part, and fades to a fifth.
_FULL_ANCHOR, _LAST_ANCHOR = 0.7, 0.2


@dataclass(frozen=True)
class GuardWeights:
    """omega: weight of the content's keys in faces (a); mu: weight of the faces' queries (b);
    anchor: weight w_o of (c) while it is full; original: fraction of the original's queries that is
    mixed into the content's, where the content is a restored picture; p_max: upper limit of what
    (a) takes from the style.
    """

    omega: float = 1.0
    mu: float = 3.0
    anchor: float = 0.1
    original: float = 0.25
    p_max: float = 0.5

    @classmethod
    def of(cls, strength: float) -> GuardWeights:
        """The weights for a strength in 0..1; 0.5 gives the defaults and 0 turns everything off."""
        return cls(2 * strength, 1 + 4 * strength, 0.2 * strength, 0.5 * strength)


@dataclass(frozen=True)
class IdentityGuard:
    """What is guarded, and how.

    content [B or 1, 4, h, w]: the original's latent, as the UNet takes it. mask [B or 1, 1, h, w]
    in 0..1: the faces. strength 0..1. start and end: the part of the run, as fractions of the noise
    schedule from its noisy end. weights: those of the strength when None.
    """

    content: Tensor
    mask: Tensor
    strength: float = 0.5
    start: float = 0.0
    end: float = 1.0
    weights: GuardWeights | None = None

    def __post_init__(self) -> None:
        if self.content.shape[-2:] != self.mask.shape[-2:]:
            raise ValueError(
                f"The guard's content is {list(self.content.shape)} and its face mask is "
                f"{list(self.mask.shape)}: they must show the same cells."
            )

    @property
    def idle(self) -> bool:
        """Whether it never changes anything."""
        return self.strength == 0 or self.start >= self.end or not bool(self.mask.any())

    def acts_at(self, progress: float) -> bool:
        """Whether it acts at a progress through the schedule: 0 is all noise, 1 is none."""
        early = progress >= self.start or self.start <= 0
        return not self.idle and early and (progress < self.end or self.end >= 1)

    @cached_property
    def terms(self) -> GuardWeights:
        return self.weights or GuardWeights.of(self.strength)

    def hold(self, own: float) -> float:
        """Fraction of the content in a face, for a host that uses the fraction `own` everywhere. At
        strength 0 it is `own`, at 0.5 it adds 60 % of the rest, and at 1 it is 1.
        """
        return own + (1 - own) * min(1.0, 1.2 * self.strength)

    @property
    def mix(self) -> float:
        """Fraction of the content in a face, for a host that either injects it or not: 1 from
        strength 0.5 on.
        """
        return min(1.0, 2 * self.strength)

    def tokens(self, rows: int, count: int) -> Tensor:
        """The face mask for tokens [rows, count]."""
        return for_rows(token_mask(self.mask, count), rows)

    def require_fit(self, shape: torch.Size) -> None:
        """Raise ValueError, naming both shapes, unless latents of that shape can be guarded."""
        batch = max(len(self.content), len(self.mask))
        if self.content.shape[-2:] != shape[-2:] or shape[0] % batch:
            raise ValueError(
                f"The identity guard's content is {list(self.content.shape)} with "
                f"{len(self.mask)} face masks, and the run works on {list(shape)}. Encode the "
                "picture that is restyled, at its size, for the guard's content."
            )

    @cached_property
    def faces(self) -> list[tuple[int, Tensor]]:
        """Index in the batch and cells [1, h, w] of each connected part of the mask."""
        found = []
        for index, mask in enumerate((self.mask > 0.5)[:, 0].cpu().numpy().astype(np.uint8)):
            count, labels = cv2.connectedComponents(mask, connectivity=8)
            parts = (torch.from_numpy(labels == label) for label in range(1, count))
            found += [(index, part[None]) for part in parts if int(part.sum()) >= _MIN_CELLS]
        return found

    def faces_of(self, batch: int) -> Iterator[tuple[int, Tensor]]:
        """The same for a batch of which the masks are repeated."""
        for repeat in range(batch // len(self.mask)):
            for index, part in self.faces:
                yield repeat * len(self.mask) + index, part


def content_fraction(
    q: Tensor, k_style: Tensor, k_content: Tensor, bias: Tensor, p_max: float, heads: int
) -> Tensor:
    """p [N, heads, tokens] of (a), float32, for the weights omega M `bias` [N, tokens]."""
    odds = log_partition(q, k_content, heads) - log_partition(q, k_style, heads)
    return (odds + bias.float().log().unsqueeze(1)).sigmoid().clamp(max=p_max)


def restyled(values: Tensor, style: Tensor) -> Tensor:
    """V~^c [N, tokens, C]: values with each channel's mean and spread of the style's values."""

    def planes(value: Tensor) -> Tensor:
        return value.float().transpose(1, 2).unsqueeze(-1)

    own_mean, own_spread = channel_statistics(planes(values))
    mean, spread = channel_statistics(planes(style))
    moved = spread * (planes(values) - own_mean) / own_spread.clamp(min=FLAT) + mean
    return moved.squeeze(-1).transpose(1, 2).to(values.dtype)


def reweighted(styled: Tensor, content: Tensor, fraction: Tensor) -> Tensor:
    """T [N, tokens, C] of (a): outputs towards style and content mixed by p [N, heads, tokens]."""
    heads = fraction.shape[1]
    mixed = split_heads(styled, heads).lerp(
        split_heads(content, heads), fraction.unsqueeze(-1).to(styled.dtype)
    )
    return mixed.transpose(1, 2).flatten(2)


def attend_guarded(
    q: Tensor, keys: Tensor, values: Tensor, content: Projections, guard: IdentityGuard,
    attend: Attend, gamma: float = 0.0, temperature: float = 1.0,
) -> Tensor:  # fmt: skip
    """Attention of q [N, tokens, C] to keys and values, the style's or the pass's own, guarded
    without gradients.

    Where the mask is 0 it is Attn(tau lerp(Q, Q^c, gamma), K, V) to the bit; in faces more of the
    content's queries are mixed in, and its keys and values are attended to as well.
    """
    content_q, content_k, content_v = content
    if content_q.shape != q.shape:
        raise ValueError(
            f"The guard's content was read as {list(content_q.shape)} and this pass works on "
            f"{list(q.shape)}. Prompts that are limited to an area cannot be guarded: limit them "
            "by masks."
        )
    face = guard.tokens(len(q), q.shape[1]).to(q)
    fraction = gamma + (guard.hold(gamma) - gamma) * face.unsqueeze(-1)
    q = temperature * q.lerp(content_q, fraction)
    styled, heads = attend(q, keys, values), attend.heads
    bias = guard.terms.omega * face
    p = content_fraction(q, keys, content_k, bias, guard.terms.p_max, heads)
    return reweighted(styled, attention(q, content_k, restyled(content_v, values), heads), p)


def guarding_taps(content: Features, guard: IdentityGuard) -> Taps:
    """Taps that guard a pass which attends to itself, by features of a pass over the content."""

    def replace(attention: Attention):
        def attend_to_both(block: int, q: Tensor, k: Tensor, v: Tensor, attend: Attend) -> Tensor:
            own = tuple(for_rows(part, len(q)) for part in content[attention, block])
            return attend_guarded(q, k, v, own, guard, attend)

        return attend_to_both

    return Taps(attentions={attention: replace(attention) for attention, _ in content})


def query_loss(q: Tensor, content: Tensor, weight: Tensor) -> Tensor:
    """L_mask [N] of one layer: mean |Q - Q^c| [N, tokens, C] weighted by tokens [N, tokens]."""
    distance = (q - content).float().abs().mean(dim=-1)
    return (weight * distance).sum(dim=1) / weight.float().sum(dim=1)


def query_weight(face: Tensor, mu: float) -> Tensor:
    """w [N, tokens] of (b) for the face mask of tokens."""
    return 1 + (mu - 1) * face


def anchor_weight(weight: float, progress: float) -> float:
    """w_o at a progress of 0 to 1 of the run: full in the noisy part, then falling to a fifth."""
    late = max(0.0, (progress - _FULL_ANCHOR) / (1 - _FULL_ANCHOR))
    return weight * (1 - (1 - _LAST_ANCHOR) * min(late, 1.0))


def smoothed(latent: Tensor) -> Tensor:
    """G z: a 3 x 3 Gaussian over latents [B, C, h, w]."""
    kernel = latent.new_tensor([0.25, 0.5, 0.25])
    padded = F.pad(latent, (1, 1, 1, 1), mode="replicate")
    rows = sum(weight * padded[..., i : i + latent.shape[-2], :] for i, weight in enumerate(kernel))
    return sum(weight * rows[..., i : i + latent.shape[-1]] for i, weight in enumerate(kernel))


def normalised(latent: Tensor, face: Tensor) -> Tensor:
    """N_M(z) [1, C, h, w]: each channel without its mean and spread over a face's cells [1, h, w].

    N_M(a z + b) = N_M(z) for a > 0.
    """
    mean, spread = channel_statistics(latent, face.unsqueeze(0))
    return (latent - mean) / (spread + FLAT)


def anchor_loss(latent: Tensor, guard: IdentityGuard) -> Tensor:
    """L_anc: for each face the mean of |N_M(G z) - N_M(G z_original)| over its cells; their sum."""
    original = smoothed(for_rows(guard.content.to(latent), len(latent)))
    own, loss = smoothed(latent), latent.new_zeros(())
    for index, face in guard.faces_of(len(latent)):
        cells = face.to(latent.device)
        pair = (normalised(part[index : index + 1], cells) for part in (own, original))
        first, second = (part.masked_select(cells) for part in pair)
        loss = loss + (first - second).abs().mean()
    return loss


def anchored(clean: Tensor, guard: IdentityGuard, progress: float) -> Tensor:
    """(c) without gradients: a step of the expected clean latent [B, 4, h, w] towards the original.

    In each face it goes 4 w_o of the way to the original, brought to the mean and spread that the
    latent has there. Unlike the loss this holds what the Gaussian would blur, too: on the starter's
    small faces that is where identity is. Elsewhere nothing changes, to the bit.
    """
    step = min(1.0, 4 * anchor_weight(guard.terms.anchor, progress))
    original = for_rows(guard.content.to(clean), len(clean))
    mask = for_rows(guard.mask.to(clean), len(clean))
    moved = clean.clone()
    for index, face in guard.faces_of(len(clean)):
        cells, row = face.to(clean.device), slice(index, index + 1)
        mean, spread = channel_statistics(clean[row], cells.unsqueeze(0))
        target = normalised(original[row], cells) * spread + mean
        towards = clean[row].lerp(target, step * mask[row])
        moved[row] = torch.where(cells, towards, clean[row])
    return moved
