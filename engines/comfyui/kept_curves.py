"""Curves of Trade-off that are kept by name in ComfyUI's output folder.

Importable only inside ComfyUI.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import folder_paths

from ...techniques.tradeoff import Run, add_run, as_csv, as_json, from_json

FOLDER = "visage_tradeoff"
_NAME = re.compile(r"\w[\w .-]*")


def require_curve_name(name: str) -> None:
    """Raise ValueError for a name that cannot be a file's; an empty one keeps nothing."""
    if name and not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a curve: take letters, digits, spaces, . - and _."
        )


def collect_runs(name: str, runs: Sequence[Run]) -> list[Run]:
    """The runs that are kept under a name, with these added, and keep them all as JSON and CSV.

    A run replaces the one of the same label. An empty name neither reads nor keeps. Raises
    ValueError for a name with folders in it.
    """
    require_curve_name(name)
    collected = _read(name) if name else []
    for run in runs:
        collected = add_run(collected, run)
    if name:
        _write(name, collected)
    return collected


def find_curve(text: str) -> list[Run]:
    """The runs of a curve, given as its JSON or as the name that it is kept under.

    Raises FileNotFoundError, naming the curves that there are, or ValueError for another text.
    """
    text = text.strip()
    if not _NAME.fullmatch(text):
        return from_json(text)
    if not _file(text).is_file():
        folder = _file(text).parent
        kept = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"No curve {text!r} is kept in {folder}; there are: {kept}. Give it this name in "
            "Trade-off's keep, or connect its curve."
        )
    return _read(text)


def curve_fingerprint(text: str) -> str:
    """When a curve that is named by `text` last changed; empty for any other text."""
    name = text.strip()
    path = _file(name) if _NAME.fullmatch(name) else None
    return str(path.stat().st_mtime_ns) if path and path.is_file() else ""


def _file(name: str) -> Path:
    return Path(folder_paths.get_output_directory()) / FOLDER / f"{name}.json"


def _read(name: str) -> list[Run]:
    path = _file(name)
    return from_json(path.read_text(encoding="utf-8")) if path.is_file() else []


def _write(name: str, runs: list[Run]) -> None:
    path = _file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for text, suffix in ((as_json(runs), ".json"), (as_csv(runs), ".csv")):
        part = path.with_name(f".{name}{suffix}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path.with_suffix(suffix))
