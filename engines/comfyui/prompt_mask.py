"""Prompt Mask with the files that its user has. Importable only inside ComfyUI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import folder_paths
from torch import Tensor

from ...models import registry
from ...models.clip_similarity import load_clip_similarity
from ...models.clipseg import load_clipseg
from ...models.face_parser import FaceParser, load_face_parser
from ...models.model_kinds import KINDS
from ...models.segment_anything import load_segment_anything
from ...models.starter_files import starter_file
from ...techniques.prompt_mask import (
    PromptMask,
    mask_of_parts,
    mask_of_segments,
    mask_of_words,
    named_parts,
    weighed,
    weighted_phrases,
)
from .memory import kept

BACK_ENDS = ["auto", "face parser", "clipseg", "segment anything"]


def mask_from_text(
    image: Tensor,
    text: str,
    back_end: str,
    threshold: float,
    files: dict[str, str],
    parser: FaceParser | None = None,
) -> PromptMask:
    """Mask what a text names in pictures [B, H, W, C], by one of BACK_ENDS.

    `files` are the chosen files of "clipseg", "segment_anything" and "clip", or NO_FILE each. Back
    end "auto" takes the face parser where all words name parts that it knows; otherwise CLIPSeg,
    or Segment Anything where only its file is chosen. Without a parser the built-in one is used.

    Raises ValueError for words that the face parser does not know, and FileNotFoundError where the
    back end's file is not chosen or gone.
    """
    weights = weighted_phrases(text)
    return weighed(_found(image, list(weights), back_end, threshold, files, parser), weights)


def _found(
    image: Tensor,
    phrases: list[str],
    back_end: str,
    threshold: float,
    files: dict[str, str],
    parser: FaceParser | None,
) -> PromptMask:
    foreign = [phrase for phrase in phrases if named_parts(phrase) is None]
    if back_end == "auto":
        back_end = _automatic(files) if foreign else "face parser"
    wanted = foreign or phrases
    if back_end == "face parser":
        parser = parser or kept(load_face_parser, starter_file("face_parser"))
        return mask_of_parts(image, phrases, parser)
    if back_end == "clipseg":
        network = kept(load_clipseg, _file("clipseg", files, wanted))
        return mask_of_words(image, phrases, network, threshold)
    segmenter = kept(load_segment_anything, _file("segment_anything", files, wanted))
    clip = kept(load_clip_similarity, _file("clip", files, wanted))
    return mask_of_segments(image, phrases, segmenter, clip)


def _automatic(files: dict[str, str]) -> str:
    has_clipseg, has_segments = (
        files[key] != registry.NO_FILE for key in ("clipseg", "segment_anything")
    )
    return "segment anything" if has_segments and not has_clipseg else "clipseg"


def _file(key: str, files: dict[str, str], phrases: Sequence[str]) -> Path:
    if files[key] != registry.NO_FILE:
        return registry.locate(key, files[key], folder_paths)
    kind = KINDS[key]
    folders = ", ".join(folder_paths.get_folder_paths(kind.folder))
    raise FileNotFoundError(
        f"No file is chosen for {kind.what}, which is to look for "
        f"{', '.join(map(repr, phrases))}. Get {kind.where_from} (licence: {kind.licence}), "
        f"put it into a folder of its own under {folders}, and choose it here; or name parts "
        "of a person, which the face parser knows."
    )
