"""The face analyzers that a node offers: which files each needs, read once and kept.

Importable only inside ComfyUI.
"""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...models import registry
from ...models.analyzer_choice import AUTO, CASCADE, DLIB, resolve
from ...models.analyzer_pack import load_pack
from ...models.dlib_faces import HOW_TO_GET, dlib_analyzer, dlib_files
from ...models.face_analyzer import FaceAnalyzer, starter_analyzer
from ...models.face_parser import load_face_parser
from ...models.model_kinds import KINDS
from ...models.starter_files import starter_file
from ...techniques.cascade_faces import cascade_analyzer
from .memory import ModelCache, fingerprint, kept, managed

MAX_ANALYZERS = 4

_analyzers = ModelCache(MAX_ANALYZERS)


def analyzer_options() -> list[str]:
    """The analyzers that can be chosen now; the user's packs come last."""
    dlib = [DLIB] if dlib_files() is not None else []
    packs = registry.analyzer_packs(folder_paths)
    return [registry.BUILT_IN, CASCADE, AUTO, *dlib, *packs]


def resolve_analyzer(analyzer: str) -> str:
    """The analyzer that AUTO means; any other name is returned unchanged."""
    return resolve(analyzer, lambda: registry.analyzer_packs(folder_paths))


def analyzer_fingerprint(analyzer: str) -> str:
    """The analyzer's files and when they changed. Raises FileNotFoundError where one is missing."""
    if analyzer in (registry.BUILT_IN, CASCADE):
        parts = ("face_parser",) if analyzer == CASCADE else ("face_detector", "face_embedder")
        files = [starter_file(part) for part in parts]
    elif analyzer == DLIB:
        found = dlib_files()
        files = [found.recognizer, found.landmarks] if found else _pack(analyzer)
    else:
        files = _pack(analyzer)
    return f"{analyzer} {fingerprint(*files)}"


def kept_analyzer(analyzer: str) -> FaceAnalyzer:
    """A resolved analyzer; the last MAX_ANALYZERS are kept until their files change.

    Raises FileNotFoundError or ValueError when a file is missing or is something else.
    """
    return _analyzers.get(analyzer_fingerprint(analyzer), lambda: _load(analyzer))


def _pack(analyzer: str) -> list[Path]:
    packs = registry.analyzer_packs(folder_paths)
    if analyzer not in packs:
        kinds = [KINDS[key] for key in ("face_analyzer", "insightface")]
        folders = [path for kind in kinds for path in folder_paths.get_folder_paths(kind.folder)]
        advice = " Or ".join(f"{kind.what}. {kind.how_to_get()}." for kind in kinds)
        raise FileNotFoundError(
            f"No folder {analyzer!r} with face-analysis files. Searched: {', '.join(folders)}. "
            f"Found: {', '.join(packs) or 'nothing'}. It should be {advice} "
            f"Or dlib: {HOW_TO_GET}. Or choose {registry.BUILT_IN!r}."
        )
    return packs[analyzer]


def _load(analyzer: str) -> FaceAnalyzer:
    if analyzer == registry.BUILT_IN:
        return starter_analyzer(managed)
    if analyzer == DLIB and dlib_files() is not None:
        return dlib_analyzer()
    if analyzer == CASCADE:
        return cascade_analyzer(kept(load_face_parser, starter_file("face_parser")))
    return load_pack(_pack(analyzer))
