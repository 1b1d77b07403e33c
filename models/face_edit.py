"""The face-edit file: fine-tuned cross-attention K/V projections and the text adapter, together.

The K/V weights are stored as differences under the names which ComfyUI's own LoRA loader applies
(`lora_unet_<diffusers module name>.diff`), so that part of the file works without this package.
Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .checkpoints import read_metadata, read_weights, write_weights

_KV_PREFIX = "lora_unet_"
_KV_SUFFIX = ".diff"
ADAPTER_PREFIX = "visage_text_adapter."
_ADAPTER_NAMES = {"w1.weight", "w2.weight"}
# The file spells module names with "_" for "."; these are the only "_" that diffusers means.
_MODULE = re.compile(
    r"(?P<block>(?:down|up)_blocks_\d+|mid_block)_attentions_(?P<attention>\d+)"
    r"_transformer_blocks_(?P<transformer>\d+)_attn2_(?P<projection>to_k|to_v)"
)


@dataclass(frozen=True)
class FaceEditWeights:
    """Differences of the K/V projections by diffusers weight name, and the adapter's tensors.

    kv: "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight" -> [out, text width].
    adapter: {"w1.weight", "w2.weight"} -> [text width, text width]; None when the file has none.
    """

    kv: dict[str, Tensor]
    adapter: dict[str, Tensor] | None
    metadata: dict[str, str]


def read_face_edit(path: str | Path) -> FaceEditWeights:
    """Read a face-edit file.

    Raises FileNotFoundError or ValueError as `read_weights` does, and ValueError when the file is
    of another kind.
    """
    tensors = read_weights(path)
    kv, adapter, foreign = {}, {}, []
    for name, value in tensors.items():
        module = _MODULE.fullmatch(name.removeprefix(_KV_PREFIX).removesuffix(_KV_SUFFIX))
        if name.startswith(ADAPTER_PREFIX):
            adapter[name.removeprefix(ADAPTER_PREFIX)] = value
        elif module and name == f"{_KV_PREFIX}{module[0]}{_KV_SUFFIX}":
            kv[_diffusers_name(module)] = value
        else:
            foreign.append(name)
    if foreign or (adapter and adapter.keys() != _ADAPTER_NAMES):
        raise ValueError(
            f"{path} is not a face-edit file: it holds "
            f"{', '.join(sorted(foreign or adapter)[:3])} and {len(tensors)} tensors in all; "
            f"expected only {_KV_PREFIX}...attn2_to_k{_KV_SUFFIX}, ...attn2_to_v{_KV_SUFFIX} and "
            f"{ADAPTER_PREFIX}w1.weight, w2.weight. An ordinary LoRA belongs in a LoRA loader."
        )
    return FaceEditWeights(kv, adapter or None, read_metadata(path))


def read_lora_part(path: str | Path) -> dict[str, Tensor]:
    """The K/V part of a face-edit file by the names in it, as LoRA loaders take it."""
    return {
        name: value
        for name, value in read_weights(path).items()
        if not name.startswith(ADAPTER_PREFIX)
    }


def write_face_edit(
    path: str | Path,
    kv: Mapping[str, Tensor],
    adapter: Mapping[str, Tensor] | None,
    metadata: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write differences of K/V weights (by diffusers weight name) and the adapter's state_dict.

    Raises ValueError for a weight that is not a cross-attention K/V projection.
    """
    tensors = {}
    for name, value in kv.items():
        module = name.removesuffix(".weight").replace(".", "_")
        if not _MODULE.fullmatch(module):
            raise ValueError(
                f"{name} is not a cross-attention K or V projection (attn2.to_k, attn2.to_v); "
                "a face-edit file holds only those."
            )
        tensors[f"{_KV_PREFIX}{module}{_KV_SUFFIX}"] = value
    for name, value in (adapter or {}).items():
        tensors[f"{ADAPTER_PREFIX}{name}"] = value
    write_weights(path, tensors, {**metadata, "visage.kind": "face_edit"}, overwrite=overwrite)


def require_matching_shapes(weights: FaceEditWeights, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse weights for a UNet whose weights (by diffusers name) have other shapes.

    Raises ValueError naming both.
    """
    for name, delta in weights.kv.items():
        if list(delta.shape) != list(shapes.get(name, ())):
            found = f"the shape {list(shapes[name])}" if name in shapes else "no such weight"
            raise ValueError(
                f"This face-edit file was made for another model: its {name} has shape "
                f"{list(delta.shape)} and the model has {found}. Use the file that belongs to this "
                "checkpoint."
            )


def _diffusers_name(module: re.Match[str]) -> str:
    block = re.sub(r"_(\d+)$", r".\1", module["block"])
    return (
        f"{block}.attentions.{module['attention']}.transformer_blocks.{module['transformer']}"
        f".attn2.{module['projection']}.weight"
    )
