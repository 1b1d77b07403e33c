"""IP-Adapter files: an image projection, and a K and a V projection for each cross-attention layer.

Ye et al., "IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models",
section 3. The public files are read as they are; which variant one is, is read from its shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .checkpoints import read_weights

_HEAD_WIDTH = 64
_FAMILIES = {(16, 768): "SD 1.5", (16, 1024): "SD 2", (70, 2048): "SDXL"}
_ENCODERS = {
    ("image_embeds", 768): "CLIP ViT-L/14",
    ("image_embeds", 1024): "CLIP ViT-H/14",
    ("image_embeds", 1280): "CLIP ViT-bigG/14",
    ("hidden_states", 1024): "CLIP ViT-L/14",
    ("hidden_states", 1280): "CLIP ViT-H/14",
    ("hidden_states", 1664): "CLIP ViT-bigG/14",
}


_WIDTHS = ("vision_model.embeddings.class_embedding", "visual_projection.weight")


class LinearProjection(nn.Module):
    """The base and light adapters: one linear layer makes all tokens of a picture's embedding."""

    variant = "base"
    reads = "image_embeds"

    def __init__(self, shapes: Mapping[str, torch.Size], operations: Any) -> None:
        super().__init__()
        outputs, self.input_width = shapes["proj.weight"]
        self.text_width = shapes["norm.weight"][0]
        self.proj = operations.Linear(self.input_width, outputs)
        self.norm = operations.LayerNorm(self.text_width)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.proj(features).unflatten(-1, (-1, self.text_width)))


class FaceIdProjection(nn.Module):
    """FaceID: two linear layers make the tokens of a face recogniser's embedding."""

    variant = "FaceID"
    reads = "face_embedding"

    def __init__(self, shapes: Mapping[str, torch.Size], operations: Any) -> None:
        super().__init__()
        hidden, self.input_width = shapes["proj.0.weight"]
        self.text_width = shapes["norm.weight"][0]
        self.proj = nn.Sequential(
            operations.Linear(self.input_width, hidden),
            nn.GELU(),
            operations.Linear(hidden, shapes["proj.2.weight"][0]),
        )
        self.norm = operations.LayerNorm(self.text_width)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.proj(features).unflatten(-1, (-1, self.text_width)))


class FullProjection(nn.Module):
    """Full-face: every token of the image encoder becomes one of the adapter's."""

    variant = "full face"
    reads = "hidden_states"

    def __init__(self, shapes: Mapping[str, torch.Size], operations: Any) -> None:
        super().__init__()
        hidden, self.input_width = shapes["proj.0.weight"]
        self.text_width = shapes["proj.3.weight"][0]
        self.proj = nn.Sequential(
            operations.Linear(self.input_width, hidden),
            nn.GELU(),
            operations.Linear(hidden, self.text_width),
            operations.LayerNorm(self.text_width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features)


class _PerceiverAttention(nn.Module):
    """Learned queries look at the encoder's tokens and at each other (Flamingo, section 3.1.1)."""

    def __init__(self, width: int, inner: int, operations: Any) -> None:
        super().__init__()
        self.heads = inner // _HEAD_WIDTH
        self.norm1 = operations.LayerNorm(width)
        self.norm2 = operations.LayerNorm(width)
        self.to_q = operations.Linear(width, inner, bias=False)
        self.to_kv = operations.Linear(width, inner * 2, bias=False)
        self.to_out = operations.Linear(inner, width, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        latents = self.norm2(latents)
        seen = torch.cat((self.norm1(features), latents), dim=1)
        parts = (self.to_q(latents), *self.to_kv(seen).chunk(2, dim=-1))
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.to_out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class Resampler(nn.Module):
    """The plus adapters: a perceiver resampler draws a few tokens out of the encoder's many."""

    variant = "plus"
    reads = "hidden_states"

    def __init__(self, shapes: Mapping[str, torch.Size], operations: Any) -> None:
        super().__init__()
        width, self.input_width = shapes["proj_in.weight"]
        self.text_width = shapes["proj_out.weight"][0]
        inner, hidden = shapes["layers.0.0.to_q.weight"][0], shapes["layers.0.1.1.weight"][0]
        self.latents = nn.Parameter(torch.empty(shapes["latents"]))
        self.proj_in = operations.Linear(self.input_width, width)
        self.proj_out = operations.Linear(width, self.text_width)
        self.norm_out = operations.LayerNorm(self.text_width)
        depth = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("layers."))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    _PerceiverAttention(width, inner, operations),
                    nn.Sequential(
                        operations.LayerNorm(width),
                        operations.Linear(width, hidden, bias=False),
                        nn.GELU(),
                        operations.Linear(hidden, width, bias=False),
                    ),
                )
            )
            for _ in range(depth)
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.proj_in(features)
        latents = self.latents.to(features).expand(len(features), -1, -1)
        for attention, feed_forward in self.layers:
            latents = attention(features, latents) + latents
            latents = feed_forward(latents) + latents
        return self.norm_out(self.proj_out(latents))


# A variant is known by a weight that only it has; the first that fits is taken.
_PROJECTIONS = {
    "latents": Resampler,
    "proj.3.weight": FullProjection,
    "proj.0.weight": FaceIdProjection,
    "proj.weight": LinearProjection,
}


class IPAdapter(nn.Module):
    """An image projection and the K/V projections, with the weight names of the public files.

    `operations` is a namespace with Linear and LayerNorm: torch.nn, or ComfyUI's casting layers.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], operations: Any = nn) -> None:
        super().__init__()
        inner = _under("image_proj.", shapes)
        projection = next(kind for mark, kind in _PROJECTIONS.items() if mark in inner)
        self.image_proj = projection(inner, operations)
        layers = {name.split(".")[0] for name in _under("ip_adapter.", shapes)}
        self.ip_adapter = nn.ModuleDict()
        for number in sorted(layers, key=int):
            projections = {
                name: operations.Linear(
                    *reversed(shapes[f"ip_adapter.{number}.{name}.weight"]), bias=False
                )
                for name in ("to_k_ip", "to_v_ip")
            }
            self.ip_adapter[number] = nn.ModuleDict(projections)

    @property
    def variant(self) -> str:
        """ "base" (also the light files), "plus", "full face" or "FaceID"."""
        return self.image_proj.variant

    @property
    def reads(self) -> str:
        """What `tokens` takes: "image_embeds" [R, input_width], "hidden_states"
        [R, T, input_width] of the encoder's last layer but one, "face_embedding" [R, input_width].
        """
        return self.image_proj.reads

    @property
    def input_width(self) -> int:
        return self.image_proj.input_width

    @property
    def text_width(self) -> int:
        return self.image_proj.text_width

    def tokens(self, features: Tensor) -> Tensor:
        """Image tokens [R, T, text_width] of the features of R pictures."""
        return self.image_proj(features)

    def keys_values(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """K and V [R, T, layer width] of image tokens [R, T, text_width], for each layer.

        The layers stand in the file's order: those of the UNet's way down, of its way up, and of
        its middle, as diffusers lists them.
        """
        return [
            (layer["to_k_ip"](tokens), layer["to_v_ip"](tokens))
            for layer in self.ip_adapter.values()
        ]


def read_ip_adapter(path: str | Path, operations: Any = nn) -> IPAdapter:
    """Read a public IP-Adapter file, `.safetensors` or `.bin`.

    Raises FileNotFoundError or ValueError as `read_weights` does, and ValueError when the file is
    of another kind, such as a LoRA.
    """
    return build_ip_adapter(read_weights(path), str(path), operations)


def build_ip_adapter(weights: Mapping[str, Tensor], name: str, operations: Any = nn) -> IPAdapter:
    """The adapter of a file's weights; `name` is what errors call it.

    FaceID files also hold LoRA weights, which are published as a file of their own for LoRA
    loaders and are passed over here. Raises ValueError when the weights are not an IP-Adapter's.
    """
    weights = {key: value for key, value in weights.items() if "_lora." not in key}
    _require_adapter(weights, name)
    with torch.device("meta"):
        adapter = IPAdapter({key: value.shape for key, value in weights.items()}, operations)
    try:
        adapter.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"{name} is damaged or of an unknown kind of IP-Adapter; get the file again. {error}"
        ) from error
    widths = {layer["to_k_ip"].in_features for layer in adapter.ip_adapter.values()}
    if widths != {adapter.text_width}:
        raise ValueError(
            f"{name} is damaged: its image tokens are {adapter.text_width} wide and its K/V "
            f"projections take {sorted(widths)}. Get the file again."
        )
    return adapter.eval().requires_grad_(False)


def require_matching_layers(adapter: IPAdapter, shapes: Sequence[Sequence[int]]) -> None:
    """Refuse an adapter for a UNet whose cross-attention K weights, in file order, differ in shape.

    Image tokens never meet the text, so an adapter of one's own may have narrower ones; those of
    public files are as wide as their model's text. Raises ValueError naming both models.
    """
    own = [tuple(layer["to_k_ip"].weight.shape) for layer in adapter.ip_adapter.values()]
    found = [tuple(shape) for shape in shapes]
    public = any(width == adapter.text_width for _, width in _FAMILIES)
    narrower = not public and all(width > adapter.text_width for _, width in found)
    if own != found and not (narrower and [s[0] for s in own] == [s[0] for s in found]):
        raise ValueError(
            f"This IP-Adapter file ({adapter.variant}) was made for {_describe(own)}, and this "
            f"model is {_describe(found)}. Load the adapter that belongs to the checkpoint."
        )


def require_matching_encoder(adapter: IPAdapter, width: int) -> None:
    """Refuse an image encoder, or a face analyzer, whose features have another width than the
    adapter reads.

    Raises ValueError naming both.
    """
    if width == adapter.input_width:
        return
    if adapter.reads == "face_embedding":
        raise ValueError(
            f"This FaceID adapter needs face embeddings of {adapter.input_width} numbers, and this "
            f"face analyzer's have {width}. Public FaceID files take InsightFace's ArcFace (512): "
            "choose such a pack in Load Face Analyzer."
        )
    needed, found = (
        f"{value} values wide ({_ENCODERS.get((adapter.reads, value), 'no public encoder')})"
        for value in (adapter.input_width, width)
    )
    raise ValueError(
        f"This IP-Adapter file ({adapter.variant}) needs a CLIP vision model whose "
        f"{adapter.reads} are {needed}, and this one's are {found}. Load the one that the "
        "adapter was trained with."
    )


def encoder_name(adapter: IPAdapter) -> str:
    """The public image encoder whose features an adapter reads."""
    return _ENCODERS.get((adapter.reads, adapter.input_width), "no public encoder")


def encoder_widths(path: Path) -> dict[str, int]:
    """Width of the features that a CLIP vision file makes, by name; empty for another file."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            hidden, projection = (file.get_slice(name).get_shape() for name in _WIDTHS)
    except (OSError, SafetensorError):
        return {}
    return {"hidden_states": hidden[0], "image_embeds": projection[0]}


def _under(prefix: str, names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in names.items() if name.startswith(prefix)
    }


def _describe(shapes: Sequence[tuple[int, ...]]) -> str:
    width = shapes[0][1] if shapes else 0
    family = _FAMILIES.get((len(shapes), width), "another model")
    widest = max((shape[0] for shape in shapes), default=0)
    return (
        f"{family} ({len(shapes)} cross-attention layers up to {widest} wide, text width {width})"
    )


def _require_adapter(weights: Mapping[str, Tensor], name: str) -> None:
    projection = _under("image_proj.", weights)
    layers = _under("ip_adapter.", weights)
    if any("perceiver_resampler." in key for key in projection):
        raise ValueError(
            f"{name} is a FaceID-Plus IP-Adapter, which is not supported. Use a base, plus, "
            "full-face, light or FaceID file."
        )
    if any(mark in projection for mark in _PROJECTIONS) and layers:
        return
    if any("lora" in key.lower() for key in weights):
        advice = "It looks like a LoRA: load it with a LoRA loader."
    else:
        advice = "Choose an IP-Adapter file."
    raise ValueError(
        f"{name} is not an IP-Adapter: it holds {', '.join(sorted(weights)[:2])} and "
        f"{len(weights)} tensors in all; needed are image_proj.* and "
        f"ip_adapter.N.to_k_ip.weight, to_v_ip.weight. {advice}"
    )
