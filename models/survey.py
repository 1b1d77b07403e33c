"""Which model files ComfyUI's folders hold, and which are damaged or in the wrong place.

Works without ComfyUI running and without torch: files are known by their names, and safetensors
files by what they contain.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .damage import read_header
from .model_kinds import ALL_KINDS, ModelKind
from .registry import kind_of

# What only this pack reads: recognised wherever it lies.
OURS = frozenset({"face_parser", "face_edit", "clipseg", "segment_anything"})
PACKAGE = Path(__file__).resolve().parent.parent
EXTRA_PATHS = "extra_model_paths.yaml"
WEIGHTS = frozenset({".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".onnx"})


@dataclass
class Shelf:
    """The folders of one model kind, the usable files in them, and the known files among these."""

    kind: ModelKind
    folders: list[Path]
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Misplaced:
    """A file in a folder where no node lists it, or that cannot be read; `reason` and `advice` are
    whole sentences.
    """

    path: Path
    reason: str
    advice: str


def survey(comfyui: Path) -> tuple[list[Shelf], list[Misplaced]]:
    """All model kinds with what is found of them, and the files that need attention.

    Raises ValueError when extra_model_paths.yaml is no YAML; without PyYAML it is not read.
    """
    shelves = {
        key: Shelf(kind, folders_of(kind.folder, comfyui)) for key, kind in ALL_KINDS.items()
    }
    misplaced = []
    for path in _weights_under(comfyui, shelves.values()):
        homes = [shelf for shelf in shelves.values() if _is_under(path, shelf.folders)]
        home = homes[0] if homes else None
        try:
            key = _recognise(path, homes)
        except ValueError as error:
            if home:
                misplaced.append(Misplaced(path, str(error), f"It should be {home.kind.what}."))
            continue
        right = shelves.get(key) if key else home
        if right is None:
            continue
        if right in homes:  # several kinds may share a folder
            home = right
        if home is not right and (home or key in OURS):
            misplaced.append(_in_wrong_folder(path, right))
        elif path.suffix.lower() not in right.kind.extensions:
            wanted = ", ".join(sorted(right.kind.extensions))
            reason = f"{path} is not listed: this folder takes {wanted}."
            misplaced.append(Misplaced(path, reason, right.kind.how_to_get()))
        elif home is right:
            right.files.append(path)
    return list(shelves.values()), misplaced


def folders_of(folder: str, comfyui: Path) -> list[Path]:
    """Where ComfyUI looks for a kind of model: its own folder, and those its user has added."""
    found = [comfyui / "models" / folder]
    for name, path in _extra_folders(comfyui):
        if name == folder and path not in found:
            found.append(path)
    return found


def _recognise(path: Path, homes: list[Shelf]) -> str | None:
    """The kind of a file, that of its own folder where it fits; None if unknown. ValueError for a
    damaged one.
    """
    if path.suffix.lower() != ".safetensors":
        return kind_of(path.name)
    names, metadata = read_header(path)
    if "visage.kind" not in metadata:
        for shelf in homes:
            marks = shelf.kind.marks
            # A whole CLIP also serves as an image encoder: where it lies says what it is for.
            if marks and any(name.startswith(marks) for name in names):
                return shelf.kind.key
    return kind_of(path.name, names, metadata)


def _in_wrong_folder(path: Path, right: Shelf) -> Misplaced:
    reason = f"{path} is {right.kind.what}, and no node looks for it there."
    return Misplaced(path, reason, f"Move it to {right.folders[0]}.")


def _weights_under(comfyui: Path, shelves: Iterable[Shelf]) -> Iterator[Path]:
    """Every weights file in ComfyUI's model folders, and in this pack's folder `models`."""
    roots = {comfyui / "models", *(folder for shelf in shelves for folder in shelf.folders)}
    outer = [root for root in roots if not any(other in root.parents for other in roots)]
    seen = set()
    for root in sorted(outer):
        for folder, _, names in os.walk(root, followlinks=True):
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix.lower() in WEIGHTS and path.resolve() not in seen:
                    seen.add(path.resolve())
                    yield path
    yield from (path for path in sorted((PACKAGE / "models").iterdir()) if path.suffix in WEIGHTS)


def _is_under(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _extra_folders(comfyui: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each line of extra_model_paths.yaml."""
    path = comfyui / EXTRA_PATHS
    if not path.is_file() or importlib.util.find_spec("yaml") is None:
        return
    import yaml  # ComfyUI brings it

    try:
        sections = dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not what ComfyUI reads ({error}): correct it.") from error
    for section in sections.values():
        section = dict(section or {})
        base = Path(os.path.expandvars(str(section.pop("base_path", ""))))
        section.pop("is_default", None)
        for name, lines in section.items():
            for line in str(lines).split():
                yield name, Path(os.path.normpath(comfyui / base.expanduser() / line))
