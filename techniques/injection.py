"""Recording what a UNet makes of the content, and putting it into another pass.

Plug-and-Play (Tumanyan et al., CVPR 2023) and DiffStyler (Li): in Stable Diffusion 1 and 2 the
residual branch of decoder layer 4 carries the layout, and the queries and keys of self-attention in
decoder layers 4 to 11 say which parts belong together; values, and so appearance, stay the style's
own. Layer 4 is the second of the lowest level that has attention, where a picture of 512 px has
16 x 16 cells. In SDXL, whose decoder has one level less, that is layer 1 (10 transformer blocks,
32 x 32 cells of 1024 px), and the attentions are those of layers 1 to 5 (10 and 2 blocks).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import Tensor

from ..diffusion.self_attention import for_rows
from ..diffusion.taps import Attention, Taps
from .latent_masks import token_mask

SD1_FEATURE_LAYER = 4


def feature_layer(available: Collection[int]) -> int:
    """The decoder layer whose residual branch is injected: the second of those that have attention,
    or the only one.
    """
    return sorted(available)[:2][-1]


def adaptive_ratio(timestep: int, kappa: float = 2.0, train_steps: int = 1000) -> float:
    """The content's ratio r(t) = clip(kappa t / T, 0, 1) in adaptive attention fusion."""
    return min(max(kappa * timestep / train_steps, 0.0), 1.0)


@dataclass
class Recording:
    """The feature [B, C, h, w] of decoder layer `layer`, and the queries and keys by attention and
    transformer block, of one pass over the content at one step."""

    layer: int = SD1_FEATURE_LAYER
    feature: Tensor | None = None
    queries_keys: dict[tuple[Attention, int], tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceInjection:
    """What is injected into faces alone.

    mask [B or 1, 1, h, w]: the ratio at each latent cell, in 0..1; feature and attention: which of
    the two are injected.
    """

    mask: Tensor
    feature: bool
    attention: bool


def hooked_attentions(available: Collection[int], cross: bool) -> list[Attention]:
    """The attentions that are injected into, of the decoder layers that have attention: those from
    the feature's layer on; with the cross-attentions, too, where `cross` is set."""
    kinds = ("self", "cross") if cross else ("self",)
    first = feature_layer(available)
    return [
        Attention(layer, kind) for layer in sorted(available) if layer >= first for kind in kinds
    ]


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
        features={recording.layer: keep_feature},
        projections={attention: keep(attention) for attention in attentions},
    )


def injection_taps(
    recording: Recording,
    feature: bool,
    attentions: list[Attention],
    ratio: float = 1.0,
    faces: FaceInjection | None = None,
) -> Taps:
    """Taps which replace the feature by the recorded one, and mix the queries and keys with theirs.

    With ratio r, Q <- r Q_content + (1 - r) Q, and K likewise; r = 1 replaces them. With `faces`
    the ratio at token i of a self-attention is max(r, M_i), and a feature that is not injected
    everywhere is injected in faces. Raises ValueError, naming both shapes, when a pass works on
    another area than the recorded one.
    """

    def replace_feature(value: Tensor) -> Tensor:
        recorded = _repeated(recording.feature, value)
        if feature or faces is None:
            return recorded
        mask = token_mask(faces.mask, value.shape[-2] * value.shape[-1])
        mask = for_rows(mask.unflatten(1, value.shape[-2:]).unsqueeze(1), len(value))
        return value.lerp(recorded, mask.to(value))

    def replace(attention: Attention):
        def write(block: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            recorded = recording.queries_keys[attention, block]
            query, key = (_repeated(r, own) for r, own in zip(recorded, (q, k), strict=True))
            if ratio < 1 and faces is not None and attention.kind == "self":
                mask = for_rows(token_mask(faces.mask, q.shape[1]), len(q)).to(q).unsqueeze(-1)
                mask = mask.clamp(min=ratio)
                return q.lerp(query, mask), k.lerp(key, mask), v
            if ratio < 1:
                return q.lerp(query, ratio), k.lerp(key, ratio), v
            return query, key, v

        return write

    in_faces = faces is not None and faces.feature
    return Taps(
        features={recording.layer: replace_feature} if feature or in_faces else {},
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
