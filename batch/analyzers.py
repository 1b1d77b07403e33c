"""Face analyzers on the diffusers engine, by the names that Load Face Analyzer offers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..models import registry
from ..models.analyzer_choice import CASCADE, DLIB, resolve
from ..models.analyzer_pack import load_pack
from ..models.dlib_faces import dlib_analyzer, dlib_files
from ..models.face_analyzer import FaceAnalyzer, starter_analyzer
from ..models.face_parser import load_face_parser
from ..models.starter_files import starter_file
from ..techniques.cascade_faces import cascade_analyzer


def find_analyzer(name: str, models: Path | None) -> tuple[FaceAnalyzer, str]:
    """The analyzer of a name, and the name that `auto` stands for.

    `models` is a folder with ComfyUI's layout. Raises FileNotFoundError or ValueError when a file
    is missing or is something else.
    """
    # Any folder that does not exist serves where there is none.
    packs = registry.analyzer_packs(_FolderPaths(models or Path("/nowhere")))
    taken = resolve(name, lambda: packs)
    return _load(taken, packs, models), taken


def _load(name: str, packs: dict[str, list[Path]], models: Path | None) -> FaceAnalyzer:
    if name == registry.BUILT_IN:
        return starter_analyzer()
    if name == CASCADE:
        return cascade_analyzer(load_face_parser(starter_file("face_parser")))
    if name == DLIB and (dlib_files() is not None or DLIB not in packs):
        return dlib_analyzer()
    if name in packs:
        return load_pack(packs[name])
    where = f"below {models}" if models else "without --models, the folder that holds them"
    raise FileNotFoundError(
        f"there are no face-analysis files {name!r} {where}; there are: "
        f"{', '.join(packs) or 'none'}"
    )


class _FolderPaths:
    """As much of ComfyUI's `folder_paths` as the registry uses, for one folder of models."""

    def __init__(self, models: Path) -> None:
        self.models_dir = str(models)
        self.folder_names_and_paths: dict[str, tuple[list[str], Any]] = {}

    def add_model_folder_path(self, key: str, path: str) -> None:
        self.folder_names_and_paths.setdefault(key, ([path], frozenset()))

    def get_filename_list(self, key: str) -> list[str]:
        (root, *_), extensions = self.folder_names_and_paths[key]
        return sorted(
            Path(folder, name).relative_to(root).as_posix()
            for folder, _, names in os.walk(root, followlinks=True)
            for name in names
            if Path(name).suffix.lower() in extensions
        )

    def get_full_path(self, key: str, name: str) -> str:
        return str(Path(self.folder_names_and_paths[key][0][0], name))
