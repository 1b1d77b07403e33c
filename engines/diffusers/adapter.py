"""IP-Adapter on the diffusers engine: a denoiser whose cross-attention looks at pictures too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from ...diffusion.interface import Denoiser
from ...models.ip_adapter import IPAdapter, require_matching_layers
from ...techniques.style_adapter import Block, StyleAttention, StyleSettings, style_attention
from . import DiffusersEngine


@dataclass(frozen=True)
class Style:
    """A style, active at noise levels from `first` (inclusive) down to `last` (exclusive)."""

    attention: StyleAttention
    first: float
    last: float


def cross_attention(unet: UNet2DConditionModel) -> list[tuple[str, Block]]:
    """Module name and ComfyUI's name of the block of each cross-attention layer, in IP-Adapter's
    order: the way down, the way up, the middle.
    """
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    per_level = unet.config.layers_per_block + 1
    layers = []
    for name in names:
        side, *rest = name.split(".")
        if side == "mid_block":
            block = ("middle", 0)
        elif side == "down_blocks":
            # The first input block is a plain convolution.
            block = ("input", 1 + int(rest[0]) * per_level + int(rest[2]))
        else:
            block = ("output", int(rest[0]) * per_level + int(rest[2]))
        layers.append((name.removesuffix(".processor"), block))
    return layers


def make_style(
    engine: DiffusersEngine,
    adapter: IPAdapter,
    pictures: Sequence[Tensor],
    negative: Tensor,
    settings: StyleSettings,
) -> Style:
    """A style of pictures, given by their features. See `techniques.style_adapter`.

    Raises ValueError when adapter, pictures or settings do not fit the model.
    """
    layers = cross_attention(engine.unet)
    modules = [engine.unet.get_submodule(name) for name, _ in layers]
    require_matching_layers(adapter, [module.to_k.weight.shape for module in modules])
    blocks = [block for _, block in layers]
    attention = style_attention(adapter, pictures, negative, blocks, settings)
    first, last = map(engine.noise_schedule.sigma_at, (settings.start, settings.end))
    return Style(attention, first, last)


def styled_denoiser(
    engine: DiffusersEngine,
    styles: Sequence[Style],
    positive: Tensor,
    negative: Tensor,
    guidance: float,
    concat: Tensor | None,
) -> Denoiser:
    """`Engine.denoiser` with styles added. Raises as it does."""
    plain = engine.denoiser(positive, negative, guidance, concat)
    roles = (0,) if guidance == 1 else (0, 1)

    def denoise(x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        level = float(sigma.max())
        active = [style.attention for style in styles if style.last < level <= style.first]
        with styled_unet(engine.unet, active, roles, tuple(x.shape[-2:])):
            return plain(x, sigma, **extra)

    return denoise


@contextmanager
def styled_unet(
    unet: UNet2DConditionModel,
    attentions: Sequence[StyleAttention],
    roles: Sequence[int],
    latent: tuple[int, int],
) -> Iterator[None]:
    """While this lasts, the UNet's cross-attention adds `attentions`; see `StyleAttention.add`.

    latent: height and width of the latents that the UNet is called with.
    """
    before = {}
    try:
        for layer, (name, _) in enumerate(cross_attention(unet)):
            active = [attention for attention in attentions if layer in attention.layers]
            if active:
                module = unet.get_submodule(name)
                before[name] = module.processor
                module.processor = _StyledAttention(active, layer, roles, latent)
        yield
    finally:
        for name, processor in before.items():
            unet.get_submodule(name).processor = processor


class _StyledAttention:
    """An attention processor of diffusers: cross-attention, and styles added before `to_out`."""

    def __init__(
        self,
        attentions: Sequence[StyleAttention],
        layer: int,
        roles: Sequence[int],
        latent: tuple[int, int],
    ) -> None:
        self._attentions = attentions
        self._layer = layer
        self._roles = roles
        self._latent = latent

    def __call__(
        self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor, *args, **kwargs
    ) -> Tensor:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            heads = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (q, k, v))
            return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)

        query = attn.to_q(hidden_states)
        text = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        output, size = attend(query, *text), self._size(query.shape[1])
        for attention in self._attentions:
            output = attention.add(self._layer, output, query, attend, self._roles, size)
        return attn.to_out[1](attn.to_out[0](output))

    def _size(self, cells: int) -> tuple[int, int]:
        """Height and width of a layer with so many cells: each level halves, rounding up."""
        height, width = self._latent
        while height * width > cells:
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width
