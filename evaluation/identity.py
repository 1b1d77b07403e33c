"""How much of the person each part of the mosaic and the guard keeps, in the starter world.

Scenes of drawn people are restyled by query-preserving style transfer: plainly, as a mosaic, and as
a mosaic with the identity guard. Likeness is the cosine of face embeddings of result and original,
aligned by the renderer's landmarks. The figures can only be compared with each other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.branches import DiffusersRun
from ..engines.image_encoder import ImageEncoder
from ..models.face_analyzer import FaceAnalyzer, FoundFace
from ..models.face_detector import overlap
from ..techniques.ddim_inversion import Trajectory, invert, psnr
from ..techniques.identity_guard import GuardWeights, IdentityGuard
from ..techniques.mosaic import MosaicSettings, compose, cut
from ..techniques.mosaic_restore import paste_back
from ..techniques.query_preserving import transfer_style
from ..techniques.style_score import (
    colour_distance,
    colour_statistics,
    cosine_distance,
)
from ..world import STYLES, scene
from .held_out import as_batch, held_out

SIZE = 384
"""Side of the scenes in pixels; their faces are 25 to 160 pixels high."""
MOSAIC = 256
"""Side of the picture's tile; face tiles then hold faces of 100 px, which the starter can draw."""
STEPS = 10
STYLED = STYLES[1:]
BUCKETS = {"small": (0.0, 0.08), "medium": (0.08, 0.2), "large": (0.2, math.inf)}
"""Ranges of a face's size, the square root of the fraction of the picture that it covers."""
MIN_VISIBLE = 0.5
FOUND_AGAIN = 0.5
STRENGTH = 0.5
RESAMPLES = 10_000


@dataclass(frozen=True)
class Parts:
    """The models that a measurement needs."""

    engine: DiffusersEngine
    encoder: ImageEncoder
    analyzer: FaceAnalyzer


@dataclass(frozen=True)
class Row:
    """One way to restyle. canvas is "picture" (the picture alone), "content" (a mosaic of enlarged
    faces) or "canvas" (of restored ones). Further fields are the parts of the guard, whether a
    face that becomes less like the person is left out, and whether the row only measures a part.
    """

    name: str
    canvas: str
    guard: frozenset[str] = frozenset()
    keep_best: bool = False
    part: bool = False


TERMS = frozenset({"queries", "attention", "anchor"})
ROWS = (
    Row("host", "picture"),
    Row("mosaic_plain", "content", part=True),
    Row("mosaic", "canvas", part=True),
    *(
        Row(term, "canvas", frozenset({term}), part=True)
        for term in ("queries", "attention", "anchor")
    ),
    Row("full", "canvas", TERMS),
    Row("full_best", "canvas", TERMS, keep_best=True),
)


@dataclass(frozen=True)
class Case:
    """A scene [1, S, S, 3] of drawn people, where their faces are, and a style picture."""

    image: Tensor
    faces: tuple[FoundFace, ...]
    style: Tensor
    name: str

    @cached_property
    def sizes(self) -> list[float]:
        """Square root of the fraction of the picture that each face covers."""
        return [math.sqrt(face.box[2] * face.box[3]) / self.image.shape[1] for face in self.faces]

    @property
    def landmarks(self) -> list[Tensor]:
        return [face.landmarks for face in self.faces]


Distances = tuple[float, float]
"""Distances of the result and of the original from the style picture."""


@dataclass
class Measured:
    """A row's measurements on all cases.

    For each face: its likeness, the likeness with another person, and whether it is still found.
    For each case: the distances from the style everywhere, on faces and on the background, those of
    colours alone, the seconds, and the pixels restyled.
    """

    likeness: list[float] = field(default_factory=list)
    stranger: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    style: list[Distances] = field(default_factory=list)
    style_faces: list[Distances] = field(default_factory=list)
    style_background: list[Distances] = field(default_factory=list)
    colours: list[Distances] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)


@dataclass
class Ablation:
    """Rows by name; the size of every face; and how well an unstyled mosaic is put back: PSNR in
    dB inside the mattes for each case, and the largest change outside.
    """

    rows: dict[str, Measured]
    sizes: list[float] = field(default_factory=list)
    returned: list[float] = field(default_factory=list)
    outside: float = 0.0


def cases(count: int) -> Iterator[Case]:
    """Yield the first `count` held-out scenes that look like photographs and have a small face.

    Each has a style picture of its own, a painting of somebody else.
    """
    number, index = 0, -1
    while number < count:
        index += 1
        drawn = scene(index, SIZE, "test")
        seen = [face for face in drawn.faces if face.visible >= MIN_VISIBLE]
        faces = tuple(
            # The renderer counts from the border, landmarks from the middle of the first pixel.
            FoundFace(face.box, 1.0, torch.from_numpy(face.landmarks).float() - 0.5)
            for face in seen
        )
        style = STYLED[number % len(STYLED)]
        painting = held_out([8 * index], style=style)[0]
        case = Case(as_batch([drawn.image]), faces, as_batch([painting.image]), style)
        if drawn.style == "photo" and min(case.sizes, default=1) < BUCKETS["small"][1]:
            number += 1
            yield case


@torch.inference_mode()
def ablation(
    parts: Parts,
    count: int,
    rows: Sequence[Row] = ROWS,
    progress: Callable[[str], None] = lambda line: None,
    part_count: int | None = None,
) -> Ablation:
    """Restyle `count` scenes by every row and measure the results.

    With `part_count`, the rows that measure a part are run on that many scenes.
    """
    result = Ablation({row.name: Measured() for row in rows})
    for number, case in enumerate(cases(count), start=1):
        progress(f"scene {number} of {count}: {len(case.faces)} faces, {case.name}")
        result.sizes += case.sizes
        restyle = _Restyle(parts, case)
        _check_way_back(result, restyle)
        for row in rows:
            if row.part and part_count is not None and number > part_count:
                continue
            measured = result.rows[row.name]
            image, seconds = restyle(row)
            measured.seconds.append(seconds)
            measured.pixels.append(restyle.canvas(row.canvas)[..., 0].numel())
            _judge(parts, case, image, measured)
    return result


class _Restyle:
    """Runs the rows of a case. Work that rows share is done once, and its time counts for each."""

    def __init__(self, parts: Parts, case: Case) -> None:
        self._engine, self._analyzer = parts.engine, parts.analyzer
        settings = MosaicSettings(size=MOSAIC)
        self.picture, picture_seconds = _timed(lambda: compose(case.image, [[]], settings))
        self.mosaic, mosaic_seconds = _timed(
            lambda: compose(case.image, [parts.analyzer.find(case.image[0])], settings)
        )
        self._composed = {
            "picture": picture_seconds,
            "content": mosaic_seconds,
            "canvas": mosaic_seconds,
        }
        self._text = parts.engine.encode_text([""])
        self._style = self._invert(case.style)
        self._inverted: dict[str, tuple[Trajectory, float]] = {}
        self._canvases: dict[tuple[str, frozenset[str]], tuple[Tensor, float]] = {}

    def canvas(self, name: str) -> Tensor:
        """The pictures that are restyled, [N, h, w, 3]."""
        return self.picture.canvas if name == "picture" else getattr(self.mosaic, name)

    def __call__(self, row: Row) -> tuple[Tensor, float]:
        """The restyled picture [1, S, S, 3], and its seconds in all."""
        if row.canvas not in self._inverted:
            self._inverted[row.canvas] = _timed(lambda: self._invert(self.canvas(row.canvas)))
        content, inverting = self._inverted[row.canvas]
        key = row.canvas, row.guard
        if key not in self._canvases:
            self._canvases[key] = _timed(lambda: self._transfer(content, row))
        canvas, painting = self._canvases[key]
        mosaic = self.picture if row.canvas == "picture" else self.mosaic
        judge = self._analyzer if row.keep_best else None
        restored, pasting = _timed(lambda: paste_back(mosaic, canvas, judge))
        return restored.image, self._composed[row.canvas] + inverting + painting + pasting

    def _transfer(self, content: Trajectory, row: Row) -> Tensor:
        run = DiffusersRun(self._engine, content.clean.shape)
        style_run = DiffusersRun(self._engine, self._style.clean.shape)
        latent = transfer_style(
            content, self._style, run.branch(self._text), style_run.branch(self._text), run.alphas,
            run.attention_layers, guard=self._guard(row),
        )  # fmt: skip
        return self._engine.decode(latent / self._engine.latent_scale)

    def _guard(self, row: Row) -> IdentityGuard | None:
        if not row.guard:
            return None
        original = self._encode(self.mosaic.content)
        mask = F.adaptive_avg_pool2d(self.mosaic.mask[:, None], original.shape[-2:])
        full = GuardWeights.of(STRENGTH)
        weights = replace(
            full,
            omega=full.omega if "attention" in row.guard else 0.0,
            anchor=full.anchor if "anchor" in row.guard else 0.0,
        )
        # Without gradients the strength holds the queries; 0 would turn the guard off.
        strength = STRENGTH if "queries" in row.guard else 1e-6
        return IdentityGuard(original, mask, strength, weights=weights)

    def _encode(self, picture: Tensor) -> Tensor:
        return self._engine.encode(picture) * self._engine.latent_scale

    def _invert(self, picture: Tensor) -> Trajectory:
        latent = self._encode(picture)
        run = DiffusersRun(self._engine, latent.shape)
        return invert(latent, run.branch(self._text), run.alphas, STEPS, STEPS)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of `work`, and its seconds of processor time, free of other programs' load."""
    started = time.process_time()
    return work(), time.process_time() - started


def _check_way_back(result: Ablation, restyle: _Restyle) -> None:
    """Measure how well a mosaic that was not restyled is put back."""
    mosaic = restyle.mosaic
    back = paste_back(mosaic, mosaic.content)
    inside = back.matte > 0
    changed = (back.image - mosaic.original)[~inside].abs()
    result.outside = max(result.outside, float(changed.max()))
    if inside.any():
        result.returned.append(psnr(back.image[inside], mosaic.original[inside]))


def _judge(parts: Parts, case: Case, image: Tensor, row: Measured) -> None:
    analyzer = parts.analyzer
    before = analyzer.embed(case.image[0], case.landmarks)
    after = analyzer.embed(image[0], case.landmarks)
    row.likeness += (before * after).sum(1).tolist()
    if len(before) > 1:
        row.stranger += (before.roll(1, 0) * after).sum(1).tolist()
    boxes = torch.tensor([face.box for face in case.faces], dtype=torch.float32)
    found = [face.box for face in analyzer.find(image[0])]
    shared = overlap(boxes, torch.tensor(found).view(-1, 4)) if found else boxes.new_zeros(1, 1)
    row.found += (shared.amax(1).expand(len(boxes)) >= FOUND_AGAIN).float().tolist()
    for column, distances in zip(
        (row.style, row.style_faces, row.style_background),
        _style_distances(parts.encoder, case, image),
        strict=True,
    ):
        column.append(distances)
    wanted, before, after = (
        colour_statistics(picture) for picture in (case.style, case.image, image)
    )
    row.colours.append((colour_distance(after, wanted), colour_distance(before, wanted)))


def _style_distances(encoder: ImageEncoder, case: Case, image: Tensor) -> tuple[Distances, ...]:
    """Distances from the style picture: of everything, the faces, and their surroundings."""
    hidden, squares = torch.zeros(image.shape[1:3]), []
    for x, y, width, height in (face.box for face in case.faces):
        hidden[int(y) : int(y + height) + 1, int(x) : int(x + width) + 1] = 1
        side = int(max(width, height))
        squares.append((int(x + (width - side) / 2), int(y + (height - side) / 2), side))

    def embed(picture: Tensor, masked: Tensor | None = None) -> Tensor:
        return encoder.features(picture, masked)["image_embeds"][0]

    wanted = embed(case.style)

    def distances(picture: Tensor) -> tuple[float, float, float]:
        faces = [cosine_distance(embed(cut(picture[0], s)[None]), wanted) for s in squares]
        whole, around = (
            cosine_distance(embed(picture, masked), wanted) for masked in (None, hidden)
        )
        return whole, mean(faces), around

    return tuple(zip(distances(image), distances(case.image), strict=True))


def bucket(sizes: Sequence[float], name: str) -> np.ndarray:
    """Indices of the faces of a size bucket."""
    low, high = BUCKETS[name]
    return np.flatnonzero([low <= size < high for size in sizes])


def paired_gain(
    host: Sequence[float], other: Sequence[float], seed: int = 42
) -> tuple[float, float, float]:
    """By what fraction the mean of `other` is above that of `host`, with its 95 % interval by
    resampling pairs.
    """
    pairs = np.array([host, other])
    picks = np.random.default_rng(seed).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    means = pairs[:, picks].mean(-1)
    low, high = np.quantile(means[1] / means[0] - 1, (0.025, 0.975))
    return float(pairs[1].mean() / pairs[0].mean() - 1), float(low), float(high)
