"""Tells what a file without weights probably is, and what to do about it; needs no torch."""

from __future__ import annotations

import json
from pathlib import Path

# A header of a safetensors file is some megabytes at the very most.
_MAX_HEADER = 100_000_000


def what_to_do(path: Path) -> str:
    """Advice on a file that cannot be read as weights."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "It is a Git LFS pointer, not the weights: run `git lfs pull`."
    if head.lstrip()[:1] == b"<":
        return "It is a web page, not the weights: download the file itself."
    return "It is truncated, damaged or of another kind: get the file again."


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors by its name, or begins as one does."""
    if path.suffix.lower() == ".safetensors":
        return True
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(1) == b"{" and 8 + length <= path.stat().st_size


def read_header(path: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the tensors in a safetensors file, and its metadata; ValueError if it is damaged."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MAX_HEADER)))
        metadata = header.pop("__metadata__", {})
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"Cannot read {path}. {what_to_do(path)}") from error
    if 8 + length + max(ends, default=0) != size:
        raise ValueError(f"Cannot read {path}: {size} bytes are not all. {what_to_do(path)}")
    return list(header), metadata
