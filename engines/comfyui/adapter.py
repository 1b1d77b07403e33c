"""IP-Adapter in ComfyUI: adapters and references under its memory management, and the patch.

Importable only inside ComfyUI.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management
import comfy.ops
import comfy.utils
import torch
from comfy.clip_vision import ClipVisionModel, clip_preprocess
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...models.ip_adapter import (
    IPAdapter,
    build_ip_adapter,
    read_ip_adapter,
    require_matching_encoder,
    require_matching_layers,
)
from ...techniques.style_adapter import (
    Area,
    Block,
    StyleAttention,
    StyleSettings,
    style_attention,
    visible_patches,
)
from .memory import as_patcher
from .progress import Progress

_KEPT_PICTURES = 32
# Where in the transformer options the areas of the prompts stand.
AREAS = "visage_prompt_areas"


@dataclass(frozen=True)
class LoadedAdapter:
    """What travels on an IPADAPTER socket: a network, and ComfyUI's handle on where it lies."""

    network: IPAdapter
    patcher: ModelPatcher

    def use(self) -> IPAdapter:
        """The network, on the device that it runs on."""
        comfy.model_management.load_models_gpu([self.patcher])
        return self.network


def load_adapter(path: Path) -> LoadedAdapter:
    """The adapter of a file. Raises as `read_ip_adapter` does."""
    return _managed(read_ip_adapter(path, comfy.ops.manual_cast))


def as_adapter(value: Any) -> LoadedAdapter:
    """What came over an IPADAPTER socket; other packs send a file's two parts as mappings.

    Raises ValueError when it is neither.
    """
    if isinstance(value, LoadedAdapter):
        return value
    parts = value if isinstance(value, Mapping) else {}
    weights = {
        f"{part}.{name}": tensor
        for part in ("image_proj", "ip_adapter")
        for name, tensor in parts.get(part, {}).items()
    }
    name = "What is connected as ipadapter"
    return _managed(build_ip_adapter(weights, name, comfy.ops.manual_cast))


def _managed(network: IPAdapter) -> LoadedAdapter:
    return LoadedAdapter(network, as_patcher(network))


# Features of the last pictures, for each image encoder as long as it lives.
_FEATURES: WeakKeyDictionary[ClipVisionModel, OrderedDict[bytes, dict[str, Tensor]]] = (
    WeakKeyDictionary()
)


def picture_features(
    adapter: LoadedAdapter, encoder: ClipVisionModel, image: Tensor, masked: Tensor | None = None
) -> list[Tensor]:
    """The adapter's embeddings of pictures [R, H, W, 3], cached by the pictures' content.

    masked: [R or 1, H, W], 1 where a picture is to be left out: the encoder never sees the patches
    there. Raises ValueError for an encoder of another width, for as many masks as neither 1 nor R
    and for a mask that leaves nothing.
    """
    if masked is not None and len(masked) not in (1, len(image)):
        raise ValueError(
            f"There are {len(image)} style pictures and {len(masked)} reference masks. Give one "
            "mask, or one for each picture."
        )
    features, progress = [], Progress()
    for index, picture in enumerate(image.split(1)):
        mask = None if masked is None else masked[min(index, len(masked) - 1)]
        if mask is not None and not bool(mask.any()):
            mask = None
        features.append(_kept(encoder, picture, mask)[adapter.network.reads])
        require_matching_encoder(adapter.network, features[-1].shape[-1])
        progress(index + 1, len(image))
    return features


def blank_features(adapter: LoadedAdapter, encoder: ClipVisionModel) -> Tensor:
    """What stands against the style pictures for the negative prompt, as in training.

    That is zeros for an embedding, and the encoder's view of a picture of its mean colour.
    """
    network = adapter.network
    if network.reads == "image_embeds":
        return torch.zeros(1, network.input_width)
    comfy.model_management.load_model_gpu(encoder.patcher)
    size = encoder.image_size
    pixels = torch.zeros(1, 3, size, size, device=encoder.load_device)
    hidden = encoder.model(pixel_values=pixels, intermediate_output=-2)[1]
    require_matching_encoder(network, hidden.shape[-1])
    return hidden


def _kept(encoder: ClipVisionModel, picture: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Features of one picture [1, H, W, 3], from memory where its content was seen before."""
    kept = _FEATURES.setdefault(encoder, OrderedDict())
    key = _content(picture) + (b"" if mask is None else _content(mask))
    if key not in kept:
        kept[key] = _encode(encoder, picture, mask)
    kept.move_to_end(key)
    while len(kept) > _KEPT_PICTURES:
        kept.popitem(last=False)
    return kept[key]


def _content(tensor: Tensor) -> bytes:
    digest = hashlib.blake2b(str(tuple(tensor.shape)).encode(), digest_size=16)
    digest.update(tensor.float().cpu().contiguous().numpy())
    return digest.digest()


def _encode(encoder: ClipVisionModel, picture: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    if mask is None:
        output = encoder.encode_image(picture)
        hidden = output["penultimate_hidden_states"]
        return {"image_embeds": output["image_embeds"], "hidden_states": hidden}
    vision: Any = getattr(encoder.model, "vision_model", None)
    if getattr(getattr(vision, "embeddings", None), "class_embedding", None) is None:
        raise ValueError(
            f"A reference mask needs a CLIP vision model, and this is {type(encoder.model)}. "
            "Load the one that the adapter was trained with, or set the reference mask to off."
        )
    comfy.model_management.load_model_gpu(encoder.patcher)
    pixels = clip_preprocess(
        picture.to(encoder.load_device),
        size=encoder.image_size,
        mean=encoder.image_mean,
        std=encoder.image_std,
    )
    tokens = vision.embeddings(pixels.float())
    grid = round((tokens.shape[1] - 1) ** 0.5)
    visible = visible_patches(mask, encoder.image_size, grid).to(tokens.device)
    # The class token stays; a patch that is not there can leak into no other.
    seen = torch.cat((visible.new_ones(1), visible))
    last, hidden = vision.encoder(vision.pre_layrnorm(tokens[:, seen]), intermediate_output=-2)
    embeds = encoder.model.visual_projection(vision.post_layernorm(last[:, 0]))
    device = comfy.model_management.intermediate_device()
    return {"image_embeds": embeds.to(device), "hidden_states": hidden.to(device)}


def cross_attention(model: ModelPatcher) -> list[tuple[Block, int, Any]]:
    """Block, index in the block and module of each cross-attention layer, in IP-Adapter's order:
    the way down, the way up, the middle.

    Raises ValueError for a model that is not a UNet.
    """
    network = model.model.diffusion_model
    if not hasattr(network, "output_blocks"):
        raise ValueError(
            f"An IP-Adapter needs a UNet such as SD 1.5 or SDXL, and this model is "
            f"{type(model.model.model_config).__name__}."
        )
    places = [
        *((("input", i), block) for i, block in enumerate(network.input_blocks)),
        *((("output", i), block) for i, block in enumerate(network.output_blocks)),
        (("middle", 0), network.middle_block or ()),
    ]
    return [
        (block, index, transformer.attn2)
        for block, parts in places
        for part in parts
        for index, transformer in enumerate(getattr(part, "transformer_blocks", ()))
        if transformer.attn2 is not None
    ]


def apply_style_adapter(
    model: ModelPatcher,
    adapter: LoadedAdapter,
    pictures: list[Tensor],
    negative: Tensor,
    settings: StyleSettings,
) -> ModelPatcher:
    """A clone of the model whose cross-attention also looks at pictures, given by their features.

    It adds to whatever other patches make of the attention, whichever came first. Settings that
    do nothing give a clone without a patch. Raises ValueError when adapter, pictures or settings
    do not fit the model.
    """
    layers = cross_attention(model)
    require_matching_layers(adapter.network, [layer.to_k.weight.shape for *_, layer in layers])
    network = adapter.use()
    device = adapter.patcher.load_device
    attention = style_attention(
        network,
        [features.to(device, torch.float32) for features in pictures],
        negative.to(device, torch.float32),
        [block for block, *_ in layers],
        settings,
    )
    patched = model.clone()
    if attention.layers and settings.start < settings.end:
        sampling = model.get_model_object("model_sampling")
        span = tuple(sampling.percent_to_sigma(part) for part in (settings.start, settings.end))
        places = {layer: (*layers[layer][0], layers[layer][1]) for layer in attention.layers}
        limited = settings.start > 0 or settings.end < 1
        if settings.region is not None:
            patched.add_wrapper_with_key(
                WrappersMP.CALC_COND_BATCH, "visage_style_adapter", _note_areas
            )
        patched.add_wrapper_with_key(
            WrappersMP.DIFFUSION_MODEL,
            "visage_style_adapter",
            _wrapper(attention, places, span if limited else None),
        )
    return patched


def _wrapper(
    attention: StyleAttention,
    places: dict[int, tuple[str, int, int]],
    span: tuple[float, float] | None,
) -> Callable:
    """Puts the attention over the replacements that are in force at each call of the UNet.

    Doing so at the call, not when the node runs, leaves no order in which packs would have to be
    chained; and a function in a wrapper, unlike one in the model's options, is never copied.
    """

    def run(executor, x, timesteps, context, y, control, transformer_options, *args, **kwargs):
        # The only wait for the device: once a call, and only where start or end are set.
        if span is None or span[1] < float(transformer_options["sigmas"].max()) <= span[0]:
            replacements = transformer_options.get("patches_replace", {})
            others = replacements.get("attn2", {})
            own = {
                place: partial(
                    _attend, attention, layer, others.get(place, others.get(place[:2], _attention))
                )
                for layer, place in places.items()
            }
            transformer_options = {
                **transformer_options,
                "patches_replace": {**replacements, "attn2": {**others, **own}},
            }
        return executor(x, timesteps, context, y, control, transformer_options, *args, **kwargs)

    return run


def _note_areas(executor, model, conds, x_in, timestep, model_options, *args, **kwargs):
    """Leave the areas of the prompts, by their uuids, where the attention finds them.

    A prompt that is limited to an area is run on that part of the latent alone.
    """
    areas = {
        cond["uuid"]: _fractions_of(cond["area"], x_in.shape[-2:])
        for entries in conds
        for cond in entries or ()
        if "area" in cond and "uuid" in cond
    }
    options = {**model_options.get("transformer_options", {}), AREAS: areas}
    model_options = {**model_options, "transformer_options": options}
    return executor(model, conds, x_in, timestep, model_options, *args, **kwargs)


def _fractions_of(area: Sequence[int], size: Sequence[int]) -> Area:
    """ComfyUI's area (height, width, top, left, in latent cells) as fractions of the latent."""
    height, width, top, left = (*area[: len(area) // 2][-2:], *area[len(area) // 2 :][-2:])
    bottom, right = min(top + height, size[0]), min(left + width, size[1])
    return top / size[0], bottom / size[0], left / size[1], right / size[1]


def _attend(
    attention: StyleAttention, layer: int, inner: Callable, q: Tensor, k: Tensor, v: Tensor, options
) -> Tensor:
    height, width = options["activations_shape"][-2:]
    areas = options.get(AREAS)
    return attention.add(
        layer,
        inner(q, k, v, options),
        q,
        partial(_attention, extra_options=options),
        options.get("cond_or_uncond") or [0],
        (height, width),
        areas and [areas.get(uuid) for uuid in options["uuids"]],
    )


def _attention(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
    """What a cross-attention layer does by itself."""
    return optimized_attention(
        q,
        k,
        v,
        extra_options["n_heads"],
        attn_precision=extra_options["attn_precision"],
        transformer_options=extra_options,
    )
