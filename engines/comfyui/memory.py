"""Networks under ComfyUI's memory management, and models that are kept between runs.

Importable only inside ComfyUI.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...models.face_parser import load_face_parser
from ...models.managed_network import ManagedNetwork

Network = TypeVar("Network", bound=ManagedNetwork)
Model = TypeVar("Model")
# Parsers are small, and a graph may compare several.
MAX_PARSERS = 4


def as_patcher(network: nn.Module) -> ModelPatcher:
    """A network as ComfyUI loads it: on the device when it is used, elsewhere when memory is
    short.
    """
    return ModelPatcher(
        network,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def managed(model: Network) -> Network:
    """The model, with its network loaded by ComfyUI's memory management before each run."""
    patcher = as_patcher(model.network)

    def on_use() -> torch.device:
        # The network is made of plain torch layers, which cannot be loaded in part.
        comfy.model_management.load_models_gpu([patcher], force_full_load=True)
        return patcher.load_device

    model.on_use = on_use
    return model


def fingerprint(*files: Path) -> str:
    """Files and when they changed, for `fingerprint_inputs`; FileNotFoundError without one."""
    return " ".join(f"{file} {file.stat().st_mtime_ns}" for file in files)


class ModelCache:
    """The last models that were loaded, by what they were loaded from. Nodes have no state."""

    def __init__(self, max_models: int) -> None:
        self.max_models = max_models
        self.models: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, load: Callable[[], Any]) -> Any:
        """The model of a key, such as a fingerprint, loaded if it is not among the last ones."""
        if key not in self.models:
            while len(self.models) >= self.max_models:
                self.models.popitem(last=False)
            self.models[key] = load()
        self.models.move_to_end(key)
        return self.models[key]


_caches: dict[Callable[..., Any], ModelCache] = {load_face_parser: ModelCache(MAX_PARSERS)}


def kept(load: Callable[..., Model], *files: Path) -> Model:
    """The model that `load` reads from files, read again only when another one was asked for since
    or a file has changed.

    The last model of each `load` is kept, and the last MAX_PARSERS face parsers. A ManagedNetwork
    comes under ComfyUI's memory management. Raises what `load` raises.
    """

    def read() -> Model:
        model = load(*files)
        return managed(model) if isinstance(model, ManagedNetwork) else model

    return _caches.setdefault(load, ModelCache(1)).get(fingerprint(*files), read)


def forget_models() -> None:
    """Empty the caches of `kept`."""
    for cache in _caches.values():
        cache.models.clear()
