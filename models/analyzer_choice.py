"""Which face analyzer is the best of those that are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .analyzer_pack import pack_kinds
from .dlib_faces import dlib_files
from .registry import BUILT_IN

AUTO = "auto (the best that is installed)"
CASCADE = "cascade (no file, finds faces only)"
DLIB = "dlib"
STARTER = "starter"


def best_analyzer(packs: Mapping[str, list[Path]]) -> str:
    """DLIB, STARTER or the name of one of the `packs`, whichever distinguishes photographed people
    best.

    ArcFace (InsightFace) comes first, then dlib, then SFace, then the starter. A pack that finds
    faces only, or cannot be read, is passed over.
    """
    kinds = {name: _kinds(files) for name, files in packs.items()}
    by_kind = {kind: name for name, found in reversed(kinds.items()) for kind in found}
    if "arcface" in by_kind:
        return by_kind["arcface"]
    if dlib_files() is not None:
        return DLIB
    return by_kind.get("dlib") or by_kind.get("sface") or STARTER


def resolve(analyzer: str, packs: Callable[[], Mapping[str, list[Path]]]) -> str:
    """The analyzer that AUTO means, as a widget names it; any other name is returned unchanged."""
    if analyzer != AUTO:
        return analyzer
    chosen = best_analyzer(packs())
    return BUILT_IN if chosen == STARTER else chosen


def _kinds(files: list[Path]) -> set[str]:
    try:
        kinds = pack_kinds(files)
    except (OSError, ValueError):
        return set()
    detects = {"scrfd", "yunet", "dlib"} & kinds
    return kinds & {"arcface", "sface", "dlib"} if detects else set()


def explain(chosen: str) -> str:
    """What AUTO took and, where it is the starter, what that means."""
    if chosen != STARTER:
        return f"auto took {chosen}."
    return (
        "auto took the starter, because nothing better is installed. It learned from drawn people "
        "and judges photographed ones poorly: install dlib (pip install dlib-bin "
        "face-recognition-models), or get InsightFace's or OpenCV's files."
    )
