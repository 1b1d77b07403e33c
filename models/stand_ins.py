"""Files of random values in a public layout, for tests and benchmarks without the real ones."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

# Rows of a table of words beyond these many values stay a hole in the disk, which reads as zeros.
_WORDS = 2**22
_TABLES = ("token_embedding.weight", "embed_tokens.weight", "shared.weight")


@cache
def _drawn() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(2**20).astype(np.float32)


def write_random_file(path: Path, shapes: Mapping[str, Sequence[int]]) -> Path:
    """Write a float16 safetensors file of any size in seconds: a million random values, repeated.

    Matrices keep the size of what goes through them; other weights and alphas are 1, biases 0.
    """
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        first = file.tell()
        for name, shape in shapes.items():
            file.seek(first + header[name]["data_offsets"][0])
            file.write(_values(name, shape).tobytes())
        file.truncate(first + end)
    return path


def _values(name: str, shape: Sequence[int]) -> np.ndarray:
    if len(shape) < 2:
        ones = name.endswith(("weight", "alpha", "gamma", "scale"))
        return np.full(shape, ones, np.float16)
    count = math.prod(shape)
    if name.endswith(_TABLES):
        count = min(count, _WORDS)
    return np.resize(_scaled(math.prod(shape[1:])), count)


@cache
def _scaled(inputs: int) -> np.ndarray:
    return (_drawn() / inputs**0.5).astype(np.float16)


def ip_adapter_shapes(
    variant: str, layers: Sequence[Sequence[int]], width: int, inner: int
) -> dict[str, list[int]]:
    """Names and shapes of an IP-Adapter file: "base", "plus", "full face" or "FaceID".

    layers: [width, text width] of each cross-attention layer, in the file's order. width: that of
    the features that it reads; inner: that of the resampler of "plus".
    """
    projection = _projection_shapes(variant, width, layers[0][1], inner)
    named = {f"image_proj.{name}": shape for name, shape in projection.items()}
    for i, shape in enumerate(layers):
        for part in "kv":
            named[f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight"] = list(shape)
    return named


def _projection_shapes(variant: str, width: int, text: int, inner: int) -> dict[str, list[int]]:
    """Shapes of an image projection, by name without `image_proj.`."""
    if variant == "base":
        layers = {"proj": [4 * text, width], "norm": [text]}
    elif variant == "full face":
        layers = {"proj.0": [width, width], "proj.2": [text, width], "proj.3": [text]}
    elif variant == "FaceID":
        layers = {"proj.0": [2 * width, width], "proj.2": [4 * text, 2 * width], "norm": [text]}
    else:
        layers = {"proj_in": [inner, width], "proj_out": [text, inner], "norm_out": [text]}
        for i in range(4):
            layers[f"layers.{i}.0.norm1"] = layers[f"layers.{i}.0.norm2"] = [inner]
            layers[f"layers.{i}.1.0"] = [inner]
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    if variant == "plus":
        shapes["latents"] = [1, 16, inner]
        for i in range(4):
            for part in ("to_q", "to_out"):
                shapes[f"layers.{i}.0.{part}.weight"] = [inner, inner]
            shapes[f"layers.{i}.0.to_kv.weight"] = [2 * inner, inner]
            shapes[f"layers.{i}.1.1.weight"] = [4 * inner, inner]
            shapes[f"layers.{i}.1.3.weight"] = [inner, 4 * inner]
    return shapes
