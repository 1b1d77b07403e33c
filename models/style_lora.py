"""A style LoRA in the format of kohya's tools, which ComfyUI's and diffusers' loaders read too.

`lora_unet_<diffusers module name with _>.lora_down.weight` [rank, in], `.lora_up.weight`
[out, rank] and `.alpha`; a projection becomes W + alpha / rank * up @ down (Hu et al., "LoRA:
Low-Rank Adaptation of Large Language Models", eq. 3). Convolutions have down [rank, in, k, k] and
up [out, rank, 1, 1]; `lora_te_` begins the names of CLIP's layers. For SDXL, kohya's tools take the
names of the original UNet, `input_blocks_4_1_...`. PEFT's own names are read as well:
`base_model.model.<module>.lora_A.weight` and `.lora_B.weight`, or `unet.` before the module as
diffusers writes it, with alpha in the `adapter_config.json` beside the file or in its header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .checkpoints import read_metadata, read_weights, write_weights

PREFIX = "lora_unet_"
TEXT_PREFIXES = ("lora_te_", "lora_te1_", "lora_te2_")
_PEFT_NAME = re.compile(
    r"(?:base_model\.model\.)?(?:unet\.)?(?P<module>(?:down_blocks|up_blocks|mid_block)\..+)"
    r"\.lora_(?P<factor>[AB])\.weight"
)
_PEFT_FACTORS = {"A": "lora_down", "B": "lora_up"}
_PEFT_CONFIG = "adapter_config.json"
_PEFT_HEADER = "lora_adapter_metadata"


class Factors(NamedTuple):
    """down [rank, in] and up [out, rank] of one projection, and the file's alpha; of a convolution
    [rank, in, k, k] and [out, rank, 1, 1]."""

    down: Tensor
    up: Tensor
    alpha: float

    def difference(self) -> Tensor:
        """The change of the weight [out, in] or [out, in, k, k], float32."""
        flat = (
            self.alpha / len(self.down) * self.up.float().flatten(1) @ self.down.float().flatten(1)
        )
        return flat.unflatten(1, self.down.shape[1:])


@dataclass(frozen=True)
class StyleLora:
    """Factors by diffusers module name, spelled with "_" for "." as in the file.

    `text` holds those of the text encoder, under the file's whole names.
    """

    layers: dict[str, Factors]
    metadata: dict[str, str] = field(default_factory=dict)
    text: dict[str, Factors] = field(default_factory=dict)

    def scaled(self, strength: float) -> StyleLora:
        """The same LoRA, acting so many times as strongly."""
        layers, text = (
            {name: one._replace(alpha=strength * one.alpha) for name, one in part.items()}
            for part in (self.layers, self.text)
        )
        return replace(self, layers=layers, text=text)

    def tensors(self) -> dict[str, Tensor]:
        """The file's tensors: what ComfyUI calls a LORA_MODEL."""
        tensors = {}
        named = {f"{PREFIX}{name}": factors for name, factors in self.layers.items()}
        for name, (down, up, alpha) in (named | self.text).items():
            tensors[f"{name}.lora_down.weight"] = down
            tensors[f"{name}.lora_up.weight"] = up
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
        return tensors


def read_style_lora(path: str | Path) -> StyleLora:
    """Read a LoRA of the UNet, and of the text encoder where it has one, in kohya's format or in
    PEFT's.

    Raises FileNotFoundError or ValueError as `read_weights` does, and ValueError for another
    format, naming what was found.
    """
    tensors = read_weights(path)
    if any(_PEFT_NAME.fullmatch(name) for name in tensors):
        tensors = _from_peft(tensors, Path(path))
    ends = {"lora_down.weight", "lora_up.weight", "alpha"}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        module, _, end = name.partition(".")
        known = name.startswith((PREFIX, *TEXT_PREFIXES)) and end in ends
        if not known or (end != "alpha" and not _is_factor(value, end)):
            raise ValueError(
                f"{path} is not a plain LoRA in kohya's or PEFT's format: it holds {name} "
                f"{list(value.shape)}. Expected {PREFIX}<module>.lora_down.weight, .lora_up.weight "
                "and .alpha; ComfyUI's LoRA loaders read more kinds."
            )
        parts.setdefault(module, {})[end] = value
    found = {module: _factors(path, module, values) for module, values in parts.items()}
    layers = {
        name.removeprefix(PREFIX): one for name, one in found.items() if name.startswith(PREFIX)
    }
    text = {name: one for name, one in found.items() if not name.startswith(PREFIX)}
    return StyleLora(layers, read_metadata(path), text)


def _is_factor(value: Tensor, end: str) -> bool:
    """Whether a tensor is a factor of a linear layer or of a convolution."""
    points = end == "lora_down.weight" or tuple(value.shape[2:]) == (1, 1)
    return value.ndim == 2 or (value.ndim == 4 and points)


def _factors(path: str | Path, module: str, found: dict[str, Tensor]) -> Factors:
    if not {"lora_down.weight", "lora_up.weight"} <= found.keys():
        raise ValueError(f"{path} lacks a factor of {module}; get or train the file again.")
    down = found["lora_down.weight"]
    alpha = float(found.get("alpha", torch.tensor(float(len(down)))))
    return Factors(down, found["lora_up.weight"], alpha)


def _from_peft(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of a file with PEFT's names, under kohya's; other names stay as they are."""
    alpha = _peft_alpha(path)
    found = {}
    for name, value in tensors.items():
        match = _PEFT_NAME.fullmatch(name)
        if match is None:
            found[name] = value
            continue
        module = PREFIX + match["module"].replace(".", "_")
        found[f"{module}.{_PEFT_FACTORS[match['factor']]}.weight"] = value
        if alpha is not None:
            found[f"{module}.alpha"] = torch.tensor(alpha)
    return found


def _peft_alpha(path: Path) -> float | None:
    """The one alpha of a PEFT file; None where it says nothing, which means that of the rank.

    Raises ValueError for what only PEFT itself can apply.
    """
    beside = path.with_name(_PEFT_CONFIG)
    if beside.is_file():
        config = json.loads(beside.read_text(encoding="utf-8"))
    else:
        header = json.loads(read_metadata(path).get(_PEFT_HEADER, "{}"))
        config = {name.removeprefix("unet."): value for name, value in header.items()}
    special = [name for name in ("alpha_pattern", "use_rslora", "use_dora") if config.get(name)]
    if special:
        raise ValueError(
            f"{path} was trained with {', '.join(special)}, which is not read here. Merge it with "
            "PEFT, or save it in kohya's format."
        )
    alpha = config.get("lora_alpha")
    return None if alpha is None else float(alpha)


def write_style_lora(path: str | Path, lora: StyleLora, overwrite: bool = False) -> None:
    """Write a LoRA file; an existing one is kept (FileExistsError) unless overwrite is set."""
    metadata = {**lora.metadata, "visage.kind": "style_lora"}
    write_weights(path, lora.tensors(), metadata, overwrite=overwrite)


def lora_differences(lora: StyleLora, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The changes of a UNet's weights by a LoRA, by module name, where shapes fit.

    Raises ValueError, naming both shapes, when the LoRA was made for another model.
    """
    names = {name.replace(".", "_"): name for name in shapes}
    return _differences(lora.layers, names, shapes)


def text_differences(lora: StyleLora, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The same for CLIP's text encoder, whose module names may lack the leading `text_model.`."""
    names = {}
    for name in shapes:
        spelled = f"text_model.{name.removeprefix('text_model.')}".replace(".", "_")
        names |= {prefix + spelled: name for prefix in TEXT_PREFIXES[:2]}
    return _differences(lora.text, names, shapes)


def _differences(
    layers: Mapping[str, Factors], names: Mapping[str, str], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    differences = {}
    for module, factors in layers.items():
        name = names.get(module)
        found = list(shapes[name]) if name else None
        made = [len(factors.up), *factors.down.shape[1:]]
        # A 1 x 1 convolution and a linear layer are the same.
        if found is None or _without_points(found) != _without_points(made):
            has = f"the shape {found}" if found else "no such layer"
            raise ValueError(
                f"This LoRA was made for another base model: its {module} fits a weight {made} "
                f"and this model has {has}. Use a LoRA that was trained on this model."
            )
        differences[name] = factors.difference().reshape(found)
    return differences


def _without_points(shape: Sequence[int]) -> list[int]:
    return list(shape[:2]) if tuple(shape[2:]) == (1, 1) else list(shape)
