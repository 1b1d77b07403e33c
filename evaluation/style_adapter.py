"""What a style adapter gives and takes, measured in the starter world: how near a picture comes to
the style picture, how much of its own person it keeps, and how much of the other's it catches.

Figures of this world, comparable with each other and with nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers_adapter import make_style, styled_denoiser
from ..engines.image_encoder import ImageEncoder
from ..engines.sampling import add_noise, sample_euler, seeded_noise
from ..models.face_embedder import FaceEmbedder, align_faces
from ..models.face_parser import FaceParser
from ..models.ip_adapter import IPAdapter
from ..techniques.face_mask import face_mask
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.style_adapter import StyleSettings
from ..training.world import STYLES
from ..training.world.portrait import Portrait
from .held_out import as_batch, held_out
from .style_transfer import gram_distance

STEPS = 12
GUIDANCE = 3.0
# Of the run: the picture's layout stays, its surface is made anew.
DENOISE = 0.6
SEED = 42


@dataclass(frozen=True)
class Parts:
    """The models that a measurement takes."""

    engine: DiffusersEngine
    encoder: ImageEncoder
    adapter: IPAdapter
    parser: FaceParser
    embedder: FaceEmbedder


@dataclass(frozen=True)
class StylePoint:
    """Means over the pairs at one weight.

    style: the part of the way to the style picture, 0 for the picture at weight 0 and 1 for the
    style picture's own textures; identity: cosine with the person in the picture; leak: by how
    much the cosine with the style picture's person has risen since weight 0.
    """

    weight: float
    style: float
    identity: float
    leak: float


@torch.inference_mode()
def style_curve(
    parts: Parts, weights: Sequence[float], pairs: int
) -> tuple[list[StylePoint], float | None]:
    """A point for each weight, and the leak with the style picture's face masked automatically
    over the leak without, at the last weight; None where nothing leaks without.

    Pairs are of held-out people: a photograph, and another person's painting for the style.
    """
    rows: dict[float, list[tuple[float, float, float]]] = {weight: [] for weight in weights}
    masked_leaks = []
    for content, reference in _pairs(pairs):
        picture, style = as_batch([content.image]), as_batch([reference.image])
        plain = _judge(
            parts, _restyle(parts, picture, content, style, None, 0.0), content, reference
        )
        for weight in weights:
            result = _restyle(parts, picture, content, style, None, weight)
            rows[weight].append(_since(plain, _judge(parts, result, content, reference)))
        mask = face_mask(style, parts.parser, ["face and hair"]).mask
        result = _restyle(parts, picture, content, style, mask[0], weights[-1])
        masked_leaks.append(_since(plain, _judge(parts, result, content, reference))[2])
    points = [
        StylePoint(weight, *map(mean, zip(*row, strict=True))) for weight, row in rows.items()
    ]
    leak = points[-1].leak
    return points, mean(masked_leaks) / leak if leak > 0 else None


def _pairs(count: int) -> list[tuple[Portrait, Portrait]]:
    """Portraits of unlike people; the second of each pair is painted."""
    contents = held_out(range(0, 8 * count, 8), style="photo")
    numbers = range(8 * count, 16 * count, 8)
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
    """The picture [1, H, W, 3] drawn again from part of its noise, in the reference's style."""
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
    noise = seeded_noise(latent, SEED)
    denoiser = styled_denoiser(engine, [style], text[:1], text[1:], GUIDANCE, concat)
    start = add_noise(latent, noise, sigmas[0], engine.sigma_max)
    return engine.decode(sample_euler(denoiser, start, sigmas) / engine.latent_scale)


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
    return gram_distance(result, style, parts.parser), float(drawn @ own), float(drawn @ other)


def _since(
    plain: tuple[float, float, float], now: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Style, identity and leak of a result, against the same run at weight 0."""
    return 1 - now[0] / plain[0], now[1], now[2] - plain[2]
