"""Branches of a diffusers UNet: several prompts and LoRAs on one network, with taps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention as AttentionModule
from torch import Tensor, nn

from ...diffusion.taps import Attention, Branch, Taps, Weights, swapped_weights
from ...models.style_lora import StyleLora, lora_differences
from . import DiffusersEngine
from .engine import SdxlText


class DiffusersRun:
    """Branches of one engine for latents [B, 4, h, w] of one shape: `diffusion.run.Run`."""

    def __init__(self, engine: DiffusersEngine, shape: tuple[int, ...]) -> None:
        self.engine = engine
        self.batch = shape[0]
        self._concat = blank_condition(engine, shape)

    @property
    def alphas(self) -> Tensor:
        """The training schedule's cumulated alphas [T], float64."""
        return 1 / (1 + self.engine.noise_schedule.sigmas.double() ** 2)

    @property
    def attention_layers(self) -> list[int]:
        """The decoder layers that have attention."""
        blocks = self.engine.unet.up_blocks
        layers = self.engine.unet.config.layers_per_block + 1
        return [
            layers * block + place
            for block in range(len(blocks))
            for place in range(layers)
            if getattr(blocks[block], "attentions", None) is not None
        ]

    @property
    def device(self) -> torch.device:
        """Where the UNet runs."""
        return self.engine.unet.device

    def into_model(self, latent: Tensor) -> Tensor:
        """The latent [B, 4, h, w] of the VAE, scaled as the UNet takes it."""
        return latent * self.engine.latent_scale

    def out_of_model(self, latent: Tensor) -> Tensor:
        """The UNet's latent [B, 4, h, w], scaled as the VAE takes it."""
        return latent / self.engine.latent_scale

    def branch(
        self,
        prompts: Tensor | Sequence[Tensor] | Sequence[SdxlText],
        style: StyleLora | None = None,
        bypassed: frozenset[Attention] = frozenset(),
    ) -> Branch:
        """A branch for prompts [R, T, d] or SDXL's, with a LoRA except in the bypassed attentions.

        A LoRA's part for the text encoder is applied while the prompts are encoded: `text_lora`.

        Raises ValueError, naming both shapes, when the LoRA was made for another model.
        """
        weights = _merged(self.engine.unet, style, bypassed) if style else []
        rows = len(prompts)
        texts = self._for_each_picture(prompts)
        denoise = self.engine.denoiser(texts, texts, 1.0, self._concat)

        def predict(latent: Tensor, timestep: int, taps: Taps | None = None) -> Tensor:
            sigma = self.engine.noise_schedule.sigmas[timestep].to(latent.device)
            x = (latent * (1 + sigma**2).sqrt()).repeat(rows, 1, 1, 1)
            with swapped_weights(weights), _tapped(self.engine.unet, taps or Taps()):
                denoised = denoise(x, sigma.expand(len(x)))
            return ((x - denoised) / sigma).unflatten(0, (rows, self.batch))

        return predict

    def _for_each_picture(
        self, prompts: Tensor | Sequence[Tensor] | Sequence[SdxlText]
    ) -> Tensor | SdxlText:
        """Each prompt once for each picture of the run, side by side."""
        if isinstance(prompts, Tensor) or not isinstance(prompts[0], SdxlText):
            return torch.stack(tuple(prompts)).repeat_interleave(self.batch, dim=0)
        parts = (torch.cat(part) for part in zip(*prompts, strict=True))
        return SdxlText(*(part.repeat_interleave(self.batch, dim=0) for part in parts))


def blank_condition(engine: DiffusersEngine, shape: tuple[int, ...]) -> Tensor | None:
    """The extra channels of an inpainting UNet, [1, 5, h, w]; see `Branch`."""
    if engine.unet.config.in_channels == 4:
        return None
    gray = engine.encode(torch.full((1, 64, 64, 3), 0.5)).mean(dim=(0, 2, 3))
    gray = (gray * engine.latent_scale).view(1, -1, 1, 1).expand(1, -1, *shape[-2:])
    return torch.cat((torch.ones_like(gray[:, :1]), gray), dim=1)


def _merged(unet: UNet2DConditionModel, lora: StyleLora, bypassed: frozenset[Attention]) -> Weights:
    layers = unet.config.layers_per_block + 1
    skipped = tuple(
        f"up_blocks.{layer // layers}.attentions.{layer % layers}.transformer_blocks.{block}."
        f"{'attn1' if kind == 'self' else 'attn2'}."
        for layer, kind in bypassed
        for block in range(len(_transformer_blocks(unet, layer)))
    )
    modules = dict(unet.named_modules())
    shapes = {name: module.weight.shape for name, module in modules.items() if _is_layer(module)}
    return [
        (modules[name], "weight", nn.Parameter(modules[name].weight + delta, False))
        for name, delta in lora_differences(lora, shapes).items()
        if not name.startswith(skipped or "\0")
    ]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)


@contextmanager
def _tapped(unet: UNet2DConditionModel, taps: Taps) -> Iterator[None]:
    layers = unet.config.layers_per_block + 1
    with ExitStack() as installed:
        for layer, edit in taps.features.items():
            convolution = unet.up_blocks[layer // layers].resnets[layer % layers].conv2
            # A hook's return value replaces the output.
            hook = convolution.register_forward_hook(lambda _m, _i, out, edit=edit: edit(out))
            installed.callback(hook.remove)
        for attention in taps.touched:
            for block, transformer in enumerate(_transformer_blocks(unet, attention.layer)):
                module: Any = transformer.attn1 if attention.kind == "self" else transformer.attn2
                installed.callback(partial(setattr, module, "processor", module.processor))
                module.processor = _TappedAttention(attention, block, taps)
        yield


def _transformer_blocks(unet: UNet2DConditionModel, layer: int) -> nn.ModuleList:
    layers = unet.config.layers_per_block + 1
    blocks = unet.up_blocks[layer // layers]
    attentions = getattr(blocks, "attentions", None)
    if attentions is None:
        raise ValueError(f"Decoder layer {layer} of this UNet has no attention to tap.")
    return attentions[layer % layers].transformer_blocks


class _TappedAttention:
    """An attention processor: attention, with our functions between its projections."""

    def __init__(self, attention: Attention, block: int, taps: Taps) -> None:
        self._block = block
        self._edit = taps.projections.get(attention)
        self._replace = taps.attentions.get(attention)
        self._edit_output = taps.outputs.get(attention)

    def __call__(
        self,
        attn: AttentionModule,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if self._edit is not None:
            q, k, v = self._edit(self._block, q, k, v)
        attend = _Attend(attn.heads, attention_mask)
        if self._replace is None:
            out = attend(q, k, v)
        else:
            out = self._replace(self._block, q, k, v, attend)
        if self._edit_output is not None:
            out = self._edit_output(self._block, out)
        return attn.to_out[1](attn.to_out[0](out))


@dataclass(frozen=True)
class _Attend:
    """`taps.Attend` for one call of one attention."""

    heads: int
    mask: Tensor | None

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v)]
        out = F.scaled_dot_product_attention(*heads, attn_mask=self.mask)
        return out.transpose(1, 2).flatten(2).to(q.dtype)
