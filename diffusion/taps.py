"""Reading and replacing what flows inside a UNet, and running one UNet under several sets of
weights: what a technique asks of an engine beyond a denoiser.

Decoder layers are numbered 0 to 11 as in the literature on Stable Diffusion 1 and 2: layer
3b + l is `up_blocks[b]`, place l in diffusers and `output_blocks[3b + l]` in ComfyUI. Layers 0 to
2 have no attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from torch import Tensor, nn


class Attention(NamedTuple):
    """The attention modules of one decoder layer: "self" (attn1) or "cross" (attn2)."""

    layer: int
    kind: Literal["self", "cross"]


class Attend(Protocol):
    """One attention as the engine itself computes it, patches of others and all."""

    heads: int

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Output [N, tokens, C] of q [N, tokens, C] for k, v [N, others, C], heads side by side."""
        ...


# Each returns the new value. `block` counts the transformer blocks of a layer, 0 except in SDXL.
EditFeature = Callable[[Tensor], Tensor]
EditProjections = Callable[[int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
EditAttention = Callable[[int, Tensor, Tensor, Tensor, Attend], Tensor]
EditOutput = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Taps:
    """Functions that read or replace values during one call of a UNet; made anew for each step.

    features: by decoder layer, f(value) of the residual branch's last convolution [N, C, h, w],
    before the shortcut is added. projections: f(block, q, k, v) of the projected queries, keys and
    values [N, tokens, C], heads side by side. attentions: f(block, q, k, v, attend) in the place of
    an attention, gives its output [N, tokens, C] before `to_out`. outputs: f(block, value) of that
    output. A function that only reads gives back what it was given, or what `attend` gives.
    N = R B, each prompt's pictures side by side, the prompts in any order.
    """

    features: Mapping[int, EditFeature] = field(default_factory=dict)
    projections: Mapping[Attention, EditProjections] = field(default_factory=dict)
    attentions: Mapping[Attention, EditAttention] = field(default_factory=dict)
    outputs: Mapping[Attention, EditOutput] = field(default_factory=dict)

    @property
    def touched(self) -> set[Attention]:
        """Every attention that is read or replaced."""
        return {*self.projections, *self.attentions, *self.outputs}


class Branch(Protocol):
    """A UNet with one set of weights and R prompts, as a predictor of noise.

    A UNet with the 5 extra channels of inpainting is shown a wholly masked picture in them, mask 1
    and the latent of plain grey, so that it paints from text alone. That is one constant for
    inversion, recording and sampling, without which the three would not be one process.
    """

    def __call__(self, latent: Tensor, timestep: int, taps: Taps | None = None) -> Tensor:
        """Noise [R, B, 4, h, w], float32, expected in a latent [B, 4, h, w] at a training step.

        The latent has unit variance when it is all noise (the "variance preserving" scale of
        DDIM). Taps are in place during this call only, also when it raises.
        """
        ...


Weights = Sequence[tuple[nn.Module, str, nn.Parameter]]


@contextmanager
def swapped_weights(weights: Weights) -> Iterator[None]:
    """Put other weights (module, name, parameter) in a network's place for a while.

    Only references change hands, so switching costs nothing and the network is never copied.
    """
    before = [(module, name, getattr(module, name)) for module, name, _ in weights]
    try:
        for module, name, parameter in weights:
            setattr(module, name, parameter)
        yield
    finally:
        for module, name, parameter in before:
            setattr(module, name, parameter)
