"""Image prompts by decoupled cross-attention: how much, in which layers, where, and of what.

Ye et al., "IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models",
eq. 5: Z = Attention(Q, K, V) + weight * Attention(Q, K', V'), K' and V' being those of the image
tokens. Wang et al., "InstantStyle", section 3.2: a picture's style and its composition enter
through different blocks, so that one can be taken without the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.ip_adapter import IPAdapter

Block = tuple[str, int]
KeysValues = list[tuple[Tensor, Tensor]]
# Top, bottom, left and right as fractions of the picture.
Area = tuple[float, float, float, float]

SD15_BLOCKS: tuple[Block, ...] = (
    *(("input", i) for i in (1, 2, 4, 5, 7, 8)),
    ("middle", 0),
    *(("output", i) for i in range(3, 12)),
)
SDXL_BLOCKS: tuple[Block, ...] = (
    *(("input", i) for i in (4, 5, 7, 8)),
    ("middle", 0),
    *(("output", i) for i in range(6)),
)
# Where a picture's style and its composition enter, as fractions of the weight.
_STYLE: dict[tuple[Block, ...], dict[Block, float]] = {
    SDXL_BLOCKS: {("output", 1): 1.0},
    # SD 1.5 has no single style block: style enters at high resolution on both sides.
    SD15_BLOCKS: {
        block: 1.0
        for block in SD15_BLOCKS
        if block[1] <= 5 and block[0] == "input" or block[1] >= 5 and block[0] == "output"
    },
}
_COMPOSITION: dict[tuple[Block, ...], dict[Block, float]] = {
    SDXL_BLOCKS: {("input", 8): 1.0},
    SD15_BLOCKS: {("input", 7): 0.25, ("input", 8): 1.0},
}
WEIGHT_TYPES = (
    "linear",
    "ease in",
    "ease out",
    "ease in-out",
    "style",
    "composition",
    "style + composition",
    "strong style",
)
COMBINE_MODES = ("concat", "average")
_GENTLEST = 0.05
# A patch is hidden if more than this fraction of it is masked, because all of its pixels form one
# token.
_PATCH_FRACTION = 0.1


def block_weights(weight_type: str, blocks: Sequence[Block]) -> dict[Block, float]:
    """Each block's fraction of the weight; `blocks` are those with cross-attention, as they run.

    ease in weighs the first blocks most, ease out the last ones, ease in-out those in the middle.
    As in ComfyUI_IPAdapter_plus, block i of n has the fraction 0.05 + 0.95 c with t = i / n and
    c = 1 - t, t or 1 - |2t - 1|.
    The style and composition types know SD 1.5 and SDXL; others raise ValueError.
    """
    count, known = len(blocks), tuple(blocks)
    if weight_type == "linear":
        return dict.fromkeys(blocks, 1.0)
    if weight_type.startswith("ease"):
        course = {
            "ease in": lambda t: 1 - t,
            "ease out": lambda t: t,
            "ease in-out": lambda t: 1 - abs(2 * t - 1),
        }[weight_type]
        steps = enumerate(blocks)
        return {b: _GENTLEST + (1 - _GENTLEST) * course(i / count) for i, b in steps}
    if known not in _STYLE:
        raise ValueError(
            f"Weight type {weight_type!r} is defined for SD 1.5 (16 blocks with cross-attention) "
            f"and SDXL (11), and this model has {count}. Use linear, an ease type or block weights."
        )
    style, composition = _STYLE[known], _COMPOSITION[known]
    strong = {block: 1.0 for block in blocks if block not in composition}
    chosen = {
        "style": style,
        "composition": composition,
        "style + composition": style | composition,
        "strong style": strong,
    }[weight_type]
    return {block: chosen.get(block, 0.0) for block in blocks}


def parse_block_weights(text: str, blocks: Sequence[Block]) -> dict[Block, float]:
    """Block weights written as text, for blocks in running order.

    Either one number a block ("1, 0.5, ..."), or pairs ("0-3: 1, middle: 0.5, 9: 0.2") of a
    block's number, a range of numbers, or "input", "middle" or "output", where the last that
    names a block counts and blocks that are not named get 0. Raises ValueError for other text.
    """
    entries = [entry.strip() for entry in re.split(r"[,;\n]", text) if entry.strip()]
    weights = dict.fromkeys(blocks, 0.0)
    try:
        if not any(":" in entry for entry in entries):
            return dict(zip(blocks, map(_finite, entries), strict=True))
        for entry in entries:
            name, value = entry.split(":")
            for block in _named_blocks(name.strip(), blocks):
                weights[block] = _finite(value)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"Cannot read the block weights {text!r} ({error}). Write either {len(blocks)} numbers "
            "with commas between, one for each block with cross-attention, or pairs such as "
            f"'0-3: 1, middle: 0.5', with blocks 0 to {len(blocks) - 1}, input, middle or output."
        ) from error
    return weights


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number to weigh with")
    return value


def _named_blocks(name: str, blocks: Sequence[Block]) -> Iterable[Block]:
    if name in ("input", "middle", "output"):
        return [block for block in blocks if block[0] == name]
    first, _, last = name.partition("-")
    return [blocks[i] for i in range(int(first), int(last or first) + 1)]


def combine_tokens(
    pictures: Sequence[Tensor], weights: Sequence[float], mode: str
) -> tuple[Tensor, Tensor | None]:
    """Image tokens [1, T, d] of several pictures' tokens [1, T_i, d], and what V is scaled by.

    average: the weighted mean of the tokens. concat: all tokens side by side in one softmax, and
    the V of each scaled [1, T, 1] by its picture's weight (None where all weights are 1). A
    picture with weight 0 takes no part. Raises ValueError when none is left, or when pictures
    with unlike numbers of tokens are to be averaged.
    """
    if len(weights) != len(pictures):
        raise ValueError(
            f"There are {len(pictures)} style pictures and {len(weights)} weights for them. Give "
            "one weight for each picture, or none."
        )
    used = [(p, w) for p, w in zip(pictures, weights, strict=True) if w != 0]
    if not used:
        raise ValueError("All style pictures have weight 0. Give one of them another weight.")
    if mode == "concat":
        tokens = torch.cat([picture for picture, _ in used], dim=1)
        if all(weight == 1 for _, weight in used):
            return tokens, None
        scales = [picture.new_full((1, picture.shape[1], 1), weight) for picture, weight in used]
        return tokens, torch.cat(scales, dim=1)
    counts = {picture.shape[1] for picture, _ in used}
    total = sum(weight for _, weight in used)
    if len(counts) > 1 or total == 0:
        raise ValueError(
            f"Cannot average pictures with {sorted(counts)} tokens and weights that sum to "
            f"{total:g}. Combine them by concat, or use the same reference mask for all."
        )
    return sum(picture * weight for picture, weight in used) / total, None


def visible_patches(mask: Tensor, size: int, grid: int) -> Tensor:
    """Which patches [grid * grid] of a reference the image encoder may see, as booleans.

    mask [H, W] is 1 where the reference is to be left out. It is scaled and cropped as CLIP's
    preprocessing does the picture: the shorter side to `size`, then the middle square. Raises
    ValueError when no patch is left.
    """
    height, width = mask.shape
    scale = size / min(height, width)
    shape = (round(scale * height), round(scale * width))
    scaled = F.interpolate(mask[None, None].float(), shape, mode="bilinear", antialias=True)[0, 0]
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    fractions = F.adaptive_avg_pool2d(scaled[None, top : top + size, left : left + size], grid)
    visible = fractions.flatten() <= _PATCH_FRACTION
    if not visible.any():
        raise ValueError(
            "The reference mask covers the whole style picture as CLIP sees it (its middle "
            "square), so that no style is left to take. Use a smaller mask or another picture."
        )
    return visible


def _cut(region: Tensor, area: Area) -> Tensor:
    """The pixels of a region [B, H, W] that an area shows, at least one."""
    (top, bottom), (left, right) = (
        (min(round(low * length), length - 1), round(high * length))
        for low, high, length in zip(area[::2], area[1::2], region.shape[1:], strict=True)
    )
    return region[:, top : max(bottom, top + 1), left : max(right, left + 1)]


class StyleAttention:
    """Adds the attention to image tokens to the output of a UNet's cross-attention layers.

    shown and negative: K and V [1, T, C] for each layer, of the style pictures for the positive
    prompt and of their counterpart for the negative one. scales: the weight for each layer.
    region: [B, H, W], where the style goes; None is everywhere.

    Tensors are moved once to each device and dtype that asks for them, and nothing waits for the
    device.
    """

    def __init__(
        self,
        shown: KeysValues,
        negative: KeysValues,
        scales: Sequence[float],
        region: Tensor | None = None,
    ) -> None:
        self._keys_values = (shown, negative)
        self._scales = tuple(scales)
        if region is not None and bool((region == 1).all()):
            region = None
        self._region = region
        idle = region is not None and not bool(region.any())
        self._layers = tuple(
            layer for layer, scale in enumerate(self._scales) if scale != 0 and not idle
        )
        self._cast: dict[tuple, tuple[Tensor, Tensor]] = {}
        self._fractions: dict[tuple, Tensor] = {}

    @property
    def layers(self) -> tuple[int, ...]:
        """Indices of the layers that it changes; the others need no patch."""
        return self._layers

    def add(
        self,
        layer: int,
        output: Tensor,
        query: Tensor,
        attend: Callable[[Tensor, Tensor, Tensor], Tensor],
        roles: Sequence[int],
        size: tuple[int, int],
        areas: Sequence[Area | None] | None = None,
    ) -> Tensor:
        """The layer's output [N, h * w, C] with the style added; query has the same shape.

        roles: what each of the equal chunks of the batch is: 1 for the negative prompt, anything
        else for a positive one, as in ComfyUI's cond_or_uncond. attend(q, k, v) is the layer's
        own attention. areas: for each chunk the part of the picture that it shows, None for all of
        it; the region is cut to that. Raises ValueError when a region for several pictures meets
        another number of them.
        """
        scale = self._scales[layer]
        parts = []
        chunks = (output.chunk(len(roles)), query.chunk(len(roles)))
        areas = areas or [None] * len(roles)
        for role, area, out, q in zip(roles, areas, *chunks, strict=True):
            k, v = self._on(layer, int(role == 1), q)
            image = attend(q, k.expand(len(q), -1, -1), v.expand(len(q), -1, -1))
            if self._region is None:
                parts.append(torch.add(out, image, alpha=scale))
            else:
                inside = self._fraction(self._region, size, q, area)
                parts.append(torch.addcmul(out, image, inside, value=scale))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _on(self, layer: int, role: int, query: Tensor) -> tuple[Tensor, Tensor]:
        place = (layer, role, query.device, query.dtype)
        if place not in self._cast:
            self._cast[place] = tuple(
                value.to(query.device, query.dtype) for value in self._keys_values[role][layer]
            )
        return self._cast[place]

    def _fraction(
        self, region: Tensor, size: tuple[int, int], query: Tensor, area: Area | None
    ) -> Tensor:
        """What an area shows of the region, [B or 1, h * w, 1] at a layer's size: each cell's
        mean."""
        if len(region) not in (1, len(query)):
            raise ValueError(
                f"The region mask has {len(region)} masks and {len(query)} pictures are "
                "made at once. Give one mask, or as many as pictures."
            )
        place = (size, query.device, query.dtype, area)
        if place not in self._fractions:
            shown = region if area is None else _cut(region, area)
            fraction = F.adaptive_avg_pool2d(shown.float().unsqueeze(1), size)
            self._fractions[place] = fraction.flatten(1).unsqueeze(-1).to(query.device, query.dtype)
        return self._fractions[place]


@dataclass(frozen=True)
class StyleSettings:
    """What a user sets: see `block_weights`, `parse_block_weights` and `combine_tokens`.

    start and end are fractions of the run, 0 to 1, as ComfyUI counts them; picture_weights is empty
    where all pictures weigh 1; region is [B, H, W].
    """

    weight: float = 0.7
    weight_type: str = "linear"
    block_weights: str = ""
    start: float = 0.0
    end: float = 1.0
    combine: str = "concat"
    picture_weights: tuple[float, ...] = ()
    region: Tensor | None = None

    def scales(self, layers: Sequence[Block]) -> list[float]:
        """The weight of each layer, whose block is given; of several layers a block may have."""
        order = ("input", "middle", "output")
        blocks = sorted(set(layers), key=lambda block: (order.index(block[0]), block[1]))
        if self.block_weights.strip():
            fractions = parse_block_weights(self.block_weights, blocks)
        else:
            fractions = block_weights(self.weight_type, blocks)
        return [self.weight * fractions[block] for block in layers]


def style_attention(
    adapter: IPAdapter,
    pictures: Sequence[Tensor],
    negative: Tensor,
    layers: Sequence[Block],
    settings: StyleSettings,
) -> StyleAttention:
    """The attention to pictures, given as one picture's features each (see `IPAdapter.reads`).

    negative: features for the negative prompt, those of a blank or of an unwanted picture.
    layers: the block of each cross-attention layer, in the adapter's order. Raises ValueError for
    settings that do not fit the pictures or the model.
    """
    scales = settings.scales(layers)
    weights = settings.picture_weights or (1.0,) * len(pictures)
    tokens = [adapter.tokens(features) for features in pictures]
    shown, scale = combine_tokens(tokens, weights, settings.combine)
    keys_values = adapter.keys_values(shown)
    if scale is not None:
        keys_values = [(k, v * scale) for k, v in keys_values]
    against = adapter.keys_values(adapter.tokens(negative))
    return StyleAttention(keys_values, against, scales, settings.region)
