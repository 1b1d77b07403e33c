"""What a style adapter does to a picture, measured in the starter world: how near the picture comes
to the style picture, how much of its person it keeps, and how much of the style picture's it takes.

The figures can only be compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion.sampling import sample
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.adapter import make_style, styled_denoiser
from ..engines.image_encoder import ImageEncoder
from ..models.face_embedder import FaceEmbedder, align_faces
from ..models.face_parser import FaceParser
from ..models.ip_adapter import IPAdapter
from ..techniques.face_mask import face_mask
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.style_adapter import StyleSettings
from ..techniques.style_score import gram_distance
from ..world import STYLES
from ..world.portrait import Portrait
from .held_out import as_batch, held_out
from .style_transfer import texture

STEPS = 12
GUIDANCE = 3.0
# Fraction of the run that is sampled: layout and person stay, surfaces are repainted.
DENOISE = 0.4
SEED = 42
# Every person has eight portraits in a row.
_CONTENT_STEP = 8


@dataclass(frozen=True)
class Parts:
    """The models that a measurement needs."""

    engine: DiffusersEngine
    encoder: ImageEncoder
    adapter: IPAdapter
    parser: FaceParser
    embedder: FaceEmbedder


@dataclass(frozen=True)
class StylePoint:
    """Means over the pairs and their standard errors, for one way to make the pictures.

    style: 0 for the picture at weight 0 and 1 for the style picture's own textures; identity: the
    cosine with the person in the picture; leak: the rise of the cosine with the style picture's
    person from weight 0.
    """

    style: float
    identity: float
    leak: float
    errors: tuple[float, float, float]


@dataclass(frozen=True)
class StyleCurve:
    """A point for each weight; one at the last weight with the style picture's face masked; and the
    best possible one: the same person painted in that style by the renderer, encoded and decoded.
    """

    points: dict[float, StylePoint]
    masked: StylePoint
    best: StylePoint

    @property
    def leak_ratio(self) -> float | None:
        """The leak with the face masked over that without; None if that is not significant."""
        full = list(self.points.values())[-1]
        return self.masked.leak / full.leak if full.leak > 2 * full.errors[-1] else None


@torch.inference_mode()
def style_curve(parts: Parts, weights: Sequence[float], pairs: int) -> StyleCurve:
    """Measure every weight over pairs of held-out people: a photograph of one, and a painting of
    the other for the style.
    """
    rows: dict[object, list[tuple[float, float, float]]] = {}
    for number, (content, reference) in enumerate(_pairs(pairs)):
        picture, style = as_batch([content.image]), as_batch([reference.image])
        plain = _restyle(parts, picture, content, style, None, 0.0)
        made = {
            weight: _restyle(parts, picture, content, style, None, weight) for weight in weights
        }
        mask = face_mask(style, parts.parser, ["face and hair"]).mask
        made["masked"] = _restyle(parts, picture, content, style, mask[0], weights[-1])
        painted = held_out([_CONTENT_STEP * number], style=reference.style)[0]
        made["best"] = parts.engine.decode(parts.engine.encode(as_batch([painted.image])))
        start = _judge(parts, plain, content, reference)
        for name, result in made.items():
            now = _judge(parts, result, content, reference)
            rows.setdefault(name, []).append(_since(start, now))
    masked, best = (_point(rows.pop(name)) for name in ("masked", "best"))
    return StyleCurve({weight: _point(row) for weight, row in rows.items()}, masked, best)


def _point(row: list[tuple[float, float, float]]) -> StylePoint:
    values = np.array(row)
    errors = values.std(axis=0) / len(values) ** 0.5
    return StylePoint(*values.mean(axis=0).tolist(), tuple(errors.tolist()))


def _pairs(count: int) -> list[tuple[Portrait, Portrait]]:
    """Pairs of portraits of different people; the second of each pair is painted."""
    contents = held_out(range(0, _CONTENT_STEP * count, _CONTENT_STEP), style="photo")
    numbers = range(_CONTENT_STEP * count, 2 * _CONTENT_STEP * count, _CONTENT_STEP)
    styles = [STYLES[1:][i % len(STYLES[1:])] for i in range(count)]
    references = [held_out([n], style=style)[0] for n, style in zip(numbers, styles, strict=True)]
    return list(zip(contents, references, strict=True))


def _restyle(
    parts: Parts,
    picture: Tensor,
    content: Portrait,
    reference: Tensor,
    mask: Tensor | None,
    weight: float,
) -> Tensor:
    """The picture [1, H, W, 3] restyled after the reference, by image to image."""
    engine, reads = parts.engine, parts.adapter.reads
    style = make_style(
        engine,
        parts.adapter,
        [parts.encoder.features(reference, mask)[reads]],
        parts.encoder.blank()[reads],
        StyleSettings(weight=weight),
    )
    latent = engine.encode(picture) * engine.latent_scale
    everywhere = torch.ones(picture.shape[:3])
    concat = inpaint_condition(picture, everywhere, engine.encode, engine.latent_scale).concat
    text = engine.encode_text([content.captions[0], ""])
    sigmas = engine.sigmas("normal", STEPS, DENOISE)
    denoiser = styled_denoiser(engine, [style], text[:1], text[1:], GUIDANCE, concat)
    result = sample(denoiser, latent, SEED, sigmas, engine.sigma_max)
    return engine.decode(result / engine.latent_scale)


def _judge(
    parts: Parts, result: Tensor, content: Portrait, reference: Portrait
) -> tuple[float, float, float]:
    """Distance from the style, and cosines with the picture's and with the style's person."""

    def who(picture: Tensor, portrait: Portrait) -> Tensor:
        landmarks = torch.from_numpy(portrait.landmarks).float()[None]
        return parts.embedder.embed(align_faces(picture[0], landmarks))[0]

    style = as_batch([reference.image])
    drawn = who(result, content)
    own, other = who(as_batch([content.image]), content), who(style, reference)
    apart = gram_distance(texture(result, parts.parser), texture(style, parts.parser))
    return apart, float(drawn @ own), float(drawn @ other)


def _since(
    plain: tuple[float, float, float], now: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Style, identity and leak of a result, relative to the same run at weight 0."""
    return 1 - now[0] / plain[0], now[1], now[2] - plain[2]
