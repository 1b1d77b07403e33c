"""Recording what a UNet makes of the content, and putting it into another pass.

Plug-and-Play (Tumanyan et al., CVPR 2023) and DiffStyler (Li): the residual branch of decoder
layer 4 carries the layout, and the queries and keys of self-attention in decoder layers 4 to 11
say which parts belong together; values, and so appearance, stay the style's own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import Tensor

from ..engines.taps import Attention, Taps
from .latent_masks import token_mask
from .self_attention import for_rows

FEATURE_LAYER = 4
ATTENTION_LAYERS = range(4, 12)


def adaptive_share(timestep: int, kappa: float = 2.0, train_steps: int = 1000) -> float:
    """Share r(t) = clip(kappa t / T, 0, 1) of the content in adaptive attention fusion."""
    return min(max(kappa * timestep / train_steps, 0.0), 1.0)


@dataclass
class Recording:
    """The feature [B, C, h, w], and the queries and keys by attention and transformer block, of
    one pass over the content at one step."""

    feature: Tensor | None = None
    queries_keys: dict[tuple[Attention, int], tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceShares:
    """What is injected into faces where it is not injected everywhere.

    mask [B or 1, 1, h, w]: the share at each latent cell; feature and attention: whether there is
    anything of the two.
    """

    mask: Tensor
    feature: bool
    attention: bool


def hooked_attentions(available: Collection[int], cross: bool) -> list[Attention]:
    """The attentions that are injected into, of the decoder layers that have attention at all;
    with the cross-attentions, too, where `cross` is set."""
    kinds = ("self", "cross") if cross else ("self",)
    layers = [layer for layer in ATTENTION_LAYERS if layer in available]
    return [Attention(layer, kind) for layer in layers for kind in kinds]


def recording_taps(recording: Recording, attentions: list[Attention]) -> Taps:
    """Taps which write one pass over the content into `recording` and change nothing."""

    def keep_feature(value: Tensor) -> Tensor:
        recording.feature = value
        return value

    def keep(attention: Attention):
        def read(block: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            recording.queries_keys[attention, block] = (q, k)
            return q, k, v

        return read

    return Taps(
        features={FEATURE_LAYER: keep_feature},
        projections={attention: keep(attention) for attention in attentions},
    )


def injection_taps(
    recording: Recording,
    feature: bool,
    attentions: list[Attention],
    share: float = 1.0,
    faces: FaceShares | None = None,
) -> Taps:
    """Taps which replace the feature, and share r of the queries and keys, by the recorded ones.

    Q <- r Q_content + (1 - r) Q, K likewise; r = 1 replaces them. With `faces` the share at token i
    of a self-attention is max(r, M_i), and where the feature is not injected it is in faces. Raises
    ValueError, naming both shapes, when a pass works on another area than the one that was
    recorded.
    """

    def replace_feature(value: Tensor) -> Tensor:
        recorded = _repeated(recording.feature, value)
        if feature:
            return recorded
        mask = token_mask(faces.mask, value.shape[-2] * value.shape[-1])
        mask = for_rows(mask.unflatten(1, value.shape[-2:]).unsqueeze(1), len(value))
        return value.lerp(recorded, mask.to(value))

    def replace(attention: Attention):
        def write(block: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            recorded = recording.queries_keys[attention, block]
            query, key = (_repeated(r, own) for r, own in zip(recorded, (q, k), strict=True))
            if share < 1 and faces is not None and attention.kind == "self":
                mask = for_rows(token_mask(faces.mask, q.shape[1]), len(q)).to(q).unsqueeze(-1)
                mask = mask.clamp(min=share)
                return q.lerp(query, mask), k.lerp(key, mask), v
            if share < 1:
                return q.lerp(query, share), k.lerp(key, share), v
            return query, key, v

        return write

    in_faces = faces is not None and faces.feature
    return Taps(
        features={FEATURE_LAYER: replace_feature} if feature or in_faces else {},
        projections={attention: replace(attention) for attention in attentions},
    )


def _repeated(recorded: Tensor, own: Tensor) -> Tensor:
    """The recording [B, ...], once for each of the prompts in a pass over [R B, ...]."""
    if recorded.shape[1:] != own.shape[1:] or len(own) % len(recorded):
        raise ValueError(
            f"The content was recorded as {list(recorded.shape)} and a style's pass works on "
            f"{list(own.shape)}. Prompts of different length or limited to an area cannot be "
            "injected into: use plain prompts, and masks on Style Region."
        )
    return recorded.repeat(len(own) // len(recorded), *[1] * (own.ndim - 1)).to(own.dtype)
