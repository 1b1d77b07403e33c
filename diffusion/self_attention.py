"""Recording a UNet's self-attentions in one pass, and attending to them in another."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .taps import Attention, Branch, Taps

# Of one attention (and transformer block): queries, keys and values [B, tokens, C].
Projections = tuple[Tensor, Tensor, Tensor]
Features = Mapping[tuple[Attention, int], Projections]

# Of the decoders of Stable Diffusion.
LAYERS_A_LEVEL = 3

# Queries at once where attention has to be written out: its logits are tokens x tokens.
_CHUNK = 1024


def style_attentions(available: Collection[int]) -> list[Attention]:
    """The self-attentions that carry a picture's texture: of the decoder layers that have
    attention, all but the lowest level's three.

    In Stable Diffusion 1 and 2 and the starter those are layers 6 to 11, as in StyleID (Chung et
    al., CVPR 2024) and Attention Distillation (Zhou et al., CVPR 2025), and in SDXL layers 3 to 5,
    as in the latter.
    """
    layers = sorted(available)
    return [Attention(layer, "self") for layer in layers[LAYERS_A_LEVEL:] or layers]


def read_features(
    branch: Branch, latent: Tensor, timestep: int, attentions: Collection[Attention]
) -> Features:
    """Queries, keys and values of one pass over latents [B, 4, h, w]."""
    features = {}
    branch(latent, timestep, reading_taps(features, attentions))
    return features


def reading_taps(features: dict, attentions: Collection[Attention]) -> Taps:
    """Taps that write a pass's queries, keys and values into `features` and change nothing."""

    def keep(attention: Attention):
        def read(block: int, q: Tensor, k: Tensor, v: Tensor) -> Projections:
            features[attention, block] = (q, k, v)
            return q, k, v

        return read

    return Taps(projections={attention: keep(attention) for attention in attentions})


def for_rows(recorded: Tensor, rows: int) -> Tensor:
    """A recording [B or 1, ...] for a pass over [R B, ...], each prompt's pictures side by side.

    Raises ValueError, naming both shapes, when the pass is over another number of pictures.
    """
    if rows % len(recorded):
        raise ValueError(
            f"The recorded pass was over {len(recorded)} pictures {list(recorded.shape)} and this "
            f"one is over {rows}. Give one picture, or one for each picture of the batch."
        )
    return recorded.repeat(rows // len(recorded), *[1] * (recorded.ndim - 1))


def split_heads(value: Tensor, heads: int) -> Tensor:
    """[N, tokens, C] as [N, heads, tokens, C / heads]."""
    return value.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention of q [N, tokens, C] to k, v [N, others, C]."""
    out = F.scaled_dot_product_attention(*(split_heads(part, heads) for part in (q, k, v)))
    return out.transpose(1, 2).flatten(2)


def log_partition(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """log sum_j exp(q_i k_j / sqrt(d)) of each head and query, [N, heads, tokens], float32."""
    k = split_heads(k.float(), heads).transpose(-1, -2)
    q = split_heads(q.float(), heads) / math.sqrt(k.shape[-2])
    return torch.cat([(part @ k).logsumexp(dim=-1) for part in q.split(_CHUNK, dim=2)], dim=2)
