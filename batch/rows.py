"""A row of a batch's data: one picture."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """One picture of a batch: its contents, or the name by which the source opens it.

    `key` identifies the picture and its contents: a changed picture has another key. `settings` are
    inputs (`title.input`) for this picture alone. `error` says why it could not be read.
    """

    id: str
    key: str
    suffix: str = ".png"
    name: str = ""
    data: bytes = b""
    settings: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def key_of(identifier: str, stamp: str) -> str:
    """The key of a picture: 20 hexadecimal digits."""
    return hashlib.sha256(f"{identifier}\0{stamp}".encode()).hexdigest()[:20]


def is_safe(identifier: str) -> bool:
    """Whether a file of that name stays inside the output folder."""
    parts = identifier.split("/")
    usable = bool(identifier) and len(identifier) <= 400 and identifier.isprintable()
    return usable and "\\" not in identifier and not any(p in ("", ".", "..") for p in parts)
