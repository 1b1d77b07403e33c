"""A mask from words: the face parser where they name its parts, for everything else CLIPSeg, or
Segment Anything with CLIP to choose among its segments.

DiffStyler (Li) lets words choose regions; here every candidate segment and its score are kept, so
that a wrong choice can be seen, and all good segments are joined where the paper takes one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.face_classes import CLASSES, PRESETS
from ..models.face_parser import FaceParser
from .face_mask import face_mask
from .mask_parts import without_holes
from .person_mask import person_mask
from .region_overlay import COLOURS, draw_regions
from .shapes import as_image, split_alpha

# A segment is good when its score is at least this fraction of the best one's for the same words.
MIN_RELATIVE_SCORE = 0.5
# Segments smaller than this fraction of the picture are noise.
MIN_AREA = 0.001
# A segment that overlaps the best one by more (intersection over union) is the same thing again.
MAX_OVERLAP = 0.5
# Side in pixels of the square on which CLIP is shown a segment.
VIEW_SIDE = 224

# All of a person but what they wear below the neck.
HEAD = tuple(name for name in CLASSES[1:] if name != "clothes")

_WORDS: dict[str, tuple[str, ...]] = {
    **{name.replace("_", " "): (name,) for name in CLASSES},
    **PRESETS,
    "brow": ("left_brow", "right_brow"),
    "eyebrow": ("left_brow", "right_brow"),
    "eye": PRESETS["eyes"],
    "lip": PRESETS["lips"],
    "ear": ("left_ear", "right_ear"),
    "mouth": (*PRESETS["lips"], "mouth"),
    "teeth": ("mouth",),
    "spectacles": ("glasses",),
    "eyeglasses": ("glasses",),
    "cap": ("hat",),
    "clothing": ("clothes",),
    "garment": ("clothes",),
    "head": (*PRESETS["face and hair"], "left_ear", "right_ear", "hat"),
    "person": CLASSES[1:],
    "people": CLASSES[1:],
}
_ARTICLES = re.compile(r"^(the|a|an|his|her|their)\s+")
_WEIGHT = re.compile(r"0?\.\d+|0|1(\.0*)?|0\.")


class SegmentByWords(Protocol):
    """A network that finds words in pictures."""

    def probabilities(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """Probability [B, K, H, W] of each phrase in pictures [B, H, W, 3] in 0..1."""
        ...


class Segments(Protocol):
    """A network that cuts a picture into segments."""

    def segments(self, image: Tensor) -> Tensor:
        """Every segment of a picture [H, W, 3] in 0..1, bool [N, H, W]; N may be 0."""
        ...


class Describes(Protocol):
    """A network that compares pictures with words."""

    def similarity(self, image: Tensor, phrases: Sequence[str]) -> Tensor:
        """100 times the cosine [B, K] of pictures [B, H, W, 3] in 0..1 and phrases."""
        ...


class Candidate(NamedTuple):
    """A segment [H, W] found for some words, with a score in 0..1; `good` ones make the mask."""

    words: str
    mask: Tensor
    score: float
    good: bool

    def facts(self) -> dict[str, str | float | bool]:
        """What a report says of it."""
        return {
            "words": self.words,
            "score": round(self.score, 4),
            "share": round(float(self.mask.mean()), 4),
            "in_mask": self.good,
        }


@dataclass(frozen=True)
class PromptMask:
    """The mask [B, H, W], every candidate of each picture, and an overlay [B, h, w, 3]."""

    mask: Tensor
    candidates: list[list[Candidate]]
    overlay: Tensor

    def json(self) -> str:
        """Each picture's candidates: words, score, share of the picture, whether in the mask."""
        return json.dumps([[one.facts() for one in each] for each in self.candidates], indent=2)


def weighted_phrases(text: str) -> dict[str, float]:
    """The things that a text names and the weight of each, as in "jacket:1.0, scarf:0.5".

    Things are separated by commas, semicolons or "and". A thing without a weight has 1. Raises
    ValueError where the text names nothing, and for a weight that is not a number in 0..1.
    """
    phrases: dict[str, float] = {}
    for part in re.split(r"[,;\n]|\.(?!\d)|\band\b", text, flags=re.I):
        words, colon, weight = part.partition(":")
        phrase = _ARTICLES.sub("", words.strip().lower())
        if not phrase and not colon:
            continue
        if not phrase or (colon and not _WEIGHT.fullmatch(weight.strip())):
            raise ValueError(
                f"{part.strip()!r} is no words with a weight in 0 to 1, such as 'scarf:0.5'."
            )
        phrases[phrase] = float(weight) if colon else 1.0
    if not phrases:
        raise ValueError("No words to look for. Name what to mask, such as 'hair' or 'hat, lips'.")
    return phrases


def weighed(found: PromptMask, weights: Mapping[str, float]) -> PromptMask:
    """The same candidates in a mask in which each has the weight of its words; 1 if none is given.

    Where candidates overlap the larger weight counts.
    """
    masks = [
        _union(mask, [c.mask * weights.get(c.words, 1.0) for c in candidates if c.good])
        for mask, candidates in zip(found.mask, found.candidates, strict=True)
    ]
    return replace(found, mask=torch.stack(masks))


def named_parts(phrase: str) -> tuple[str, ...] | None:
    """The face parser's classes that a phrase means; None where it means something else."""
    for word in (phrase, phrase.removesuffix("s"), phrase.removesuffix("es")):
        if word in _WORDS:
            return _WORDS[word]
    return None


def mask_of_parts(image: Tensor, phrases: Sequence[str], parser: FaceParser) -> PromptMask:
    """Mask the parts of faces that phrases name, in pictures [B, H, W, C].

    A candidate's score is the parser's mean probability within it. Raises ValueError for a phrase
    that names no part.
    """
    pictures, _ = split_alpha(as_image(image))

    @cache  # several words take the persons, and finding them is most of the work
    def persons() -> Tensor:
        return person_mask(pictures, parser).mask

    found = []
    for phrase in phrases:
        parts = named_parts(phrase)
        if parts is None:
            raise ValueError(
                f"The face parser does not know {phrase!r}. It knows: {', '.join(sorted(_WORDS))}."
            )
        found.append(_parsed(pictures, parts, parser, persons))
    candidates = []
    for row in range(len(pictures)):
        named = []
        for phrase, soft in zip(phrases, found, strict=True):
            mask = (soft[row] > 0.5).float()
            score = float((soft[row] * mask).sum() / mask.sum().clamp(min=1))
            named.append(Candidate(phrase, mask, score, bool(mask.any())))
        candidates.append(named)
    return _joined(pictures, candidates)


def _parsed(
    pictures: Tensor, parts: tuple[str, ...], parser: FaceParser, persons: Callable[[], Tensor]
) -> Tensor:
    """The probability [B, H, W] of parts; body, clothes and background as the person mask sees
    them, since the parser knows only the surroundings of a head.
    """
    if parts == CLASSES[1:]:
        return persons()
    if parts == ("background",):
        return 1 - persons()
    if parts == ("clothes",):
        head = face_mask(pictures, parser, HEAD, soft=True).mask
        return (persons() - head).clamp(min=0)
    return face_mask(pictures, parser, parts, soft=True).mask


def mask_of_words(
    image: Tensor, phrases: Sequence[str], network: SegmentByWords, threshold: float = 0.5
) -> PromptMask:
    """Mask what phrases name in pictures [B, H, W, C], whatever it is.

    Every connected segment in which the network is surer than `threshold` of its surest place is a
    candidate; its score is the mean probability within it.
    """
    pictures, _ = split_alpha(as_image(image))
    probabilities = network.probabilities(pictures, phrases)
    candidates = [
        [
            candidate
            for phrase, plane in zip(phrases, planes, strict=True)
            for candidate in _segments(phrase, plane, threshold)
        ]
        for planes in probabilities
    ]
    return _joined(pictures, candidates)


def mask_of_segments(
    image: Tensor, phrases: Sequence[str], segmenter: Segments, clip: Describes
) -> PromptMask:
    """Mask the segments that phrases describe in pictures [B, H, W, C].

    FastSAM's text prompt, as DiffStyler uses it: every segment is shown to CLIP, and a candidate's
    score is its value in the softmax of CLIP's logits over all segments. CLIP sees both the box
    around a segment and the segment cut out, since a box alone favours the wrong one of two nested
    segments; and all good segments are joined, since one thing may be cut into several.
    """
    pictures, _ = split_alpha(as_image(image))
    return _joined(
        pictures, [_described(picture, phrases, segmenter, clip) for picture in pictures]
    )


def _described(
    picture: Tensor, phrases: Sequence[str], segmenter: Segments, clip: Describes
) -> list[Candidate]:
    found = [without_holes(_closed(segment.numpy())) for segment in segmenter.segments(picture)]
    found = [segment for segment in found if segment.mean() >= MIN_AREA]
    if not found:
        return []
    views = [_view(picture, segment, cut) for cut in (False, True) for segment in found]
    logits = clip.similarity(torch.stack(views), phrases)
    scores = logits.unflatten(0, (2, len(found))).mean(0).softmax(0)
    candidates = []
    for phrase, own in zip(phrases, scores.T.tolist(), strict=True):
        best, enough = found[int(np.argmax(own))], MIN_RELATIVE_SCORE * max(own)
        for segment, score in zip(found, own, strict=True):
            good = segment is best or (score >= enough and _iou(segment, best) < MAX_OVERLAP)
            mask = torch.from_numpy(segment.astype(np.float32))
            # Poor segments would cover the others in the overlay.
            if good or score >= enough / 2:
                candidates.append(Candidate(phrase, mask, score, good))
    return candidates


def _view(picture: Tensor, segment: np.ndarray, cut: bool) -> Tensor:
    """A segment's box, or with `cut` the segment alone, on a white square of side VIEW_SIDE."""
    x, y, width, height = cv2.boundingRect(segment.astype(np.uint8))
    rows, columns = slice(y, y + height), slice(x, x + width)
    pixels = picture[rows, columns].detach().cpu().float().numpy()
    if cut:
        pixels = np.where(segment[rows, columns, None], pixels, 1.0)
    side = max(width, height)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.ones((side, side, 3), np.float32)
    square[top : top + height, left : left + width] = pixels
    return torch.from_numpy(
        cv2.resize(square, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    )


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def _closed(segment: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(segment.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))


def _segments(words: str, plane: Tensor, threshold: float) -> list[Candidate]:
    values = plane.detach().cpu().float().numpy()
    certain = _closed(values > threshold * values.max())
    count, labels = cv2.connectedComponents(certain)
    segments = [without_holes(labels == label) for label in range(1, count)]
    segments = [segment for segment in segments if segment.mean() >= MIN_AREA]
    scores = [float(values[segment].mean()) for segment in segments]
    return [
        Candidate(
            words,
            torch.from_numpy(segment.astype(np.float32)),
            score,
            score >= MIN_RELATIVE_SCORE * max(scores),
        )
        for segment, score in zip(segments, scores, strict=True)
    ]


def _joined(pictures: Tensor, candidates: list[list[Candidate]]) -> PromptMask:
    """The union of the good candidates, and a picture of all of them with their scores."""
    masks, overlays = [], []
    for picture, named in zip(pictures, candidates, strict=True):
        empty = torch.zeros(picture.shape[:2])
        masks.append(_union(empty, [candidate.mask for candidate in named if candidate.good]))
        names = [f"{c.words} {c.score:.2f}{'' if c.good else ' (left out)'}" for c in named]
        colours = [list(COLOURS)[index % len(COLOURS)] for index in range(len(named))]
        shown = torch.stack([empty, *(c.mask for c in named)])[1:]
        overlays.append(draw_regions(picture, shown, names, colours))
    return PromptMask(torch.stack(masks), candidates, torch.stack(overlays))


def _union(like: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """The largest value of masks [H, W] at each pixel; 0, in the shape of `like`, without any."""
    return torch.stack([torch.zeros_like(like), *masks]).amax(dim=0)
