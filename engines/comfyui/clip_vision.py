"""Image encoders as ComfyUI's CLIP_VISION: the starter's, and the file that fits an IP-Adapter.

Importable only inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import comfy.clip_vision

from ...models.checkpoints import read_weights
from ...models.ip_adapter import IPAdapter, encoder_name, encoder_widths
from ...models.starter_files import STARTER, read_config, starter_file
from .starter import require_same_keys


class LazyEncoder:
    """A CLIP_VISION that is loaded when it is first used, by what `load` gives."""

    def __init__(self, load: Callable[[], comfy.clip_vision.ClipVisionModel]) -> None:
        self._load = load

    @cached_property
    def _encoder(self) -> comfy.clip_vision.ClipVisionModel:
        return self._load()

    def __getattr__(self, name: str) -> Any:
        # Only for what the instance itself lacks: all that a loaded encoder has.
        return getattr(self._encoder, name)


def load_image_encoder(folder: Path = STARTER) -> comfy.clip_vision.ClipVisionModel:
    """CLIP_VISION of the starter's image encoder.

    ComfyUI's own loader tells a file's layout by its number of layers and knows the large models
    only; its class takes any layout that a configuration file describes. Raises FileNotFoundError
    or ValueError when a file is missing, damaged or of another build.
    """
    path = starter_file("image_encoder", folder)
    # ComfyUI opens the configuration itself; this says clearly what is wrong with it.
    read_config("image_encoder", folder)
    weights = read_weights(path)
    encoder = comfy.clip_vision.ClipVisionModel(path.with_name("config.json"))
    require_same_keys(path, encoder.get_sd(), weights)
    encoder.load_sd(weights)
    return encoder


def fitting_encoder(adapter: IPAdapter, files: Sequence[Path]) -> Path:
    """The first of these CLIP vision files whose features are as wide as the adapter reads them.

    Widths are read from the headers of safetensors files; others are passed over. Raises
    FileNotFoundError, naming what was found, when none fits.
    """
    found = []
    for path in files:
        widths = encoder_widths(path)
        if widths.get(adapter.reads) == adapter.input_width:
            return path
        found.append(f"{path.name} {widths or 'unknown'}")
    raise FileNotFoundError(
        f"No CLIP vision model in models/clip_vision fits this IP-Adapter ({adapter.variant}), "
        f"whose {adapter.reads} are {adapter.input_width} wide: it needs {encoder_name(adapter)}. "
        f"Found: {', '.join(found) or 'nothing'}. Get it, or connect another from Load CLIP Vision."
    )


def load_encoder_file(path: Path) -> comfy.clip_vision.ClipVisionModel:
    """CLIP_VISION of a file, as Load CLIP Vision makes it. Raises ValueError for another file."""
    encoder = comfy.clip_vision.load(str(path))
    if encoder is None:
        raise ValueError(f"{path} is not a CLIP vision model that ComfyUI knows.")
    return encoder
