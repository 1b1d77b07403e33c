"""DiffStyler in the starter world: how much of a person it keeps, how much of a style it takes.

A LoRA learns each style from one drawn picture and paints people in it who were not trained on.
How far a picture is from a style is told by the Gram matrices of the starter parser's features:
against those of the picture that was learned, and against the mean ones of thirty other people
drawn in its style, which is the style without what the one picture shows. Neither does this
measure see every style, nor does the autoencoder carry every style's strokes at 128 px:
`_visible_styles` keeps those where a difference is left to measure, found from drawings alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers_branches import DiffusersRun
from ..engines.diffusers_lora import trainable_lora
from ..engines.taps import Branch
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import starter_file
from ..models.style_lora import StyleLora
from ..techniques.ddim import ddim_step, level_alpha
from ..techniques.ddim_inversion import Trajectory, invert
from ..techniques.diffstyler import (
    Base,
    DiffStylerSettings,
    Style,
    latent_mask,
    region_weights,
    stylize,
)
from ..techniques.pixel_blend import blend, prove
from ..techniques.soft_mask import soften
from ..techniques.style_score import gram_distance
from ..training.style_lora import (
    STARTER_LEARNING_RATE,
    StyleLoraSettings,
    style_latents,
    train_style_lora,
)
from ..training.world import STYLES
from .held_out import SIZE, as_batch, held_out
from .style_transfer import (
    Texture,
    boundary_artefact,
    gain_at_equal_style,
    layout_distance,
    mean_texture,
    texture,
)

Say = Callable[[str], None]

PARTS = ("person", "background")
# Chosen, as the starter's learning rate, on the first twenty people, who are not measured.
GUIDANCE = 1.5
TUNED = range(20)
CONTENTS = range(20, 45)
REFERENCES = range(200, 230)
FIRST_STYLE_PICTURE = 1000
# A style is measured when its drawings are so much nearer to it than photographs are ...
SEEN = 0.1
# ... and when so much of that is left after the autoencoder.
KEPT = 0.5
IN_REGIONS = 10
# Where plain image to image with the LoRA starts, as shares of the run that are left out.
SKIPPED = (0.2, 0.4, 0.6, 0.8)
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
RESAMPLED = 2000


class Drawn(NamedTuple):
    """A person: image [1, S, S, 3], labels [1, S, S], caption."""

    image: Tensor
    labels: Tensor
    caption: str

    def mask(self, part: str) -> Tensor | None:
        """The mask [1, S, S] of a part; None for the whole picture."""
        if part == "whole":
            return None
        return {"person": self.labels != 0, "background": self.labels == 0}[part].float()


def drawn(index: int, style: str = "photo") -> Drawn:
    """A person who was not trained on."""
    (found,) = held_out([index], SIZE, style)
    labels = torch.from_numpy(found.labels).unsqueeze(0)
    return Drawn(as_batch([found.image]), labels, found.captions[0])


def sample(branch: Branch, alphas: Tensor, latent: Tensor, timesteps: Sequence[int]) -> Tensor:
    """Plain DDIM sampling of a branch with two rows, under guidance."""
    for timestep, below in zip(timesteps, [*timesteps[1:], 0], strict=True):
        negative, positive = branch(latent, timestep)
        noise = negative + GUIDANCE * (positive - negative)
        latent = ddim_step(latent, noise, level_alpha(alphas, timestep), level_alpha(alphas, below))
    return latent


class _Distance(NamedTuple):
    """From the picture that was learned, and from its style at large."""

    learned: float
    at_large: float


@dataclass(frozen=True)
class _Yardstick:
    """What a style looks like to the parser, in whole pictures and in their parts."""

    parser: FaceParser
    learned: dict[str, Texture]
    at_large: dict[str, Texture]

    def distance(self, image: Tensor, person: Drawn, part: str = "whole") -> _Distance:
        """Of a part of a picture [1, S, S, 3] which shows that person, from the style."""
        own = texture(image, self.parser, person.mask(part))
        return _Distance(
            gram_distance(own, self.learned[part]), gram_distance(own, self.at_large[part])
        )


def _yardstick(style: str, parser: FaceParser, references: Sequence[int]) -> _Yardstick:
    people = [drawn(index, style) for index in references]
    shown = _style_picture(style)
    learned, at_large = {}, {}
    for part in ("whole", *PARTS):
        learned[part] = texture(shown.image, parser, shown.mask(part))
        at_large[part] = mean_texture(
            [texture(one.image, parser, one.mask(part)) for one in people]
        )
    return _Yardstick(parser, learned, at_large)


def _style_picture(style: str) -> Drawn:
    return drawn(FIRST_STYLE_PICTURE + STYLES.index(style), style)


class _Inverted(NamedTuple):
    """A person and the run that leads back to the picture, which no style changes."""

    person: Drawn
    latent: Tensor
    through_autoencoder: Tensor
    run: DiffusersRun
    base: Base
    trajectory: Trajectory


class _Region(NamedTuple):
    """Distances from the style inside a region, and what changes outside and on its edge."""

    through_autoencoder: _Distance
    painted: _Distance
    drawn: _Distance
    outside: float
    edge_before: float
    edge_after: float


class _Point(NamedTuple):
    """A whole picture: distances from the style and from what was drawn."""

    learned: float
    at_large: float
    content: float


def content_and_style(engine: DiffusersEngine, quick: bool, say: Say) -> dict[str, float]:
    """Figures of content kept and style taken; `say` is told the tables, line by line."""
    parser = load_face_parser(starter_file("face_parser"))
    if quick:
        contents, steps, training = CONTENTS[:1], 5, 5
        styles = {"pencil": _yardstick("pencil", parser, REFERENCES[:2])}
    else:
        contents, steps, training = CONTENTS, 20, 200
        styles = _visible_styles(engine, parser, say)
    people = [_inverted(engine, index, steps) for index in contents]
    points: dict[str, list[_Point]] = {}
    regions: dict[str, list[_Region]] = {part: [] for part in PARTS}
    for name, yardstick in styles.items():
        lora = _trained(engine, _style_picture(name), training)
        say(f"{name}:")
        for part, found in regions.items():
            own = [
                _region(content, lora, yardstick, part, drawn(index, name).image)
                for index, content in zip(contents[:IN_REGIONS], people, strict=False)
            ]
            _say_regions(part, own, say)
            found += own
        own_points: dict[str, list[_Point]] = {}
        for index, content in enumerate(people):
            for method, image in _restyled(content, lora, index):
                lost = layout_distance(image, content.person.labels, parser)
                point = _Point(*yardstick.distance(image, content.person), lost)
                own_points.setdefault(method, []).append(point)
        _say_points(own_points, say)
        for method, found in own_points.items():
            points.setdefault(method, []).extend(found)
    say(f"all {len(styles)} styles, {len(people)} people each:")
    _say_points(points, say)
    for part, found in regions.items():
        _say_regions(part, found, say)
    return _gains(points) | _region_figures(regions)


@torch.inference_mode()
def _visible_styles(engine: DiffusersEngine, parser: FaceParser, say: Say) -> dict[str, _Yardstick]:
    """Of the styles which the measure tells from photographs, before and after the autoencoder."""
    say("distance from each style: photograph, drawn in it; both after the autoencoder")
    visible = {}
    for style in STYLES[1:]:
        yardstick = _yardstick(style, parser, REFERENCES)
        distances = []
        for index in TUNED:
            person, styled = drawn(index), drawn(index, style)
            pictures = [person.image, styled.image]
            pictures += [engine.decode(engine.encode(picture)) for picture in pictures]
            distances.append([yardstick.distance(one, person).at_large for one in pictures])
        photo, styled, photo_after, styled_after = map(
            statistics.fmean, zip(*distances, strict=True)
        )
        seen, kept = 1 - styled / photo, (photo_after - styled_after) / (photo - styled)
        say(
            f"  {style:<10} {photo:.3f} {styled:.3f}; {photo_after:.3f} {styled_after:.3f}: "
            f"{seen:.0%} nearer, {kept:.0%} of it kept"
        )
        if seen >= SEEN and kept >= KEPT:
            visible[style] = yardstick
    return visible


@torch.inference_mode()
def _inverted(engine: DiffusersEngine, index: int, steps: int) -> _Inverted:
    person = drawn(index)
    latent = engine.encode(person.image) * engine.latent_scale
    run = DiffusersRun(engine, latent.shape)
    empty = run.branch(engine.encode_text([""]))
    trajectory = invert(latent, empty, run.alphas, steps, 2 * steps)
    through = engine.decode(latent / engine.latent_scale)
    return _Inverted(person, latent, through, run, Base(empty), trajectory)


def _trained(engine: DiffusersEngine, shown: Drawn, steps: int) -> StyleLora:
    settings = StyleLoraSettings(_prompt(shown))
    settings = replace(settings, steps=steps, size=SIZE, learning_rate=STARTER_LEARNING_RATE)
    latents = style_latents(shown.image, engine.encode, engine.latent_scale, SIZE)
    trainable = trainable_lora(engine, settings.prompt, latents.shape, settings.rank, settings.seed)
    return train_style_lora(latents, trainable, settings)[0]


def _prompt(person: Drawn) -> str:
    return f"painting of <sss>, {person.caption}"


def _styled(content: _Inverted, lora: StyleLora, strength: float = 1.0) -> Branch:
    texts = content.run.engine.encode_text(["", _prompt(content.person)])
    return content.run.branch(texts, lora, strength)


def _painted(content: _Inverted, weights: Tensor, style: Style) -> Tensor:
    """The person in a style, [1, S, S, 3]."""
    run = content.run
    latent = stylize(
        content.trajectory, weights, [style], content.base, run.alphas, run.attention_layers,
        DiffStylerSettings(GUIDANCE),
    )  # fmt: skip
    return run.engine.decode(latent / run.engine.latent_scale)


@torch.inference_mode()
def _region(
    content: _Inverted,
    lora: StyleLora,
    yardstick: _Yardstick,
    part: str,
    drawn_so: Tensor,
) -> _Region:
    """One part of a picture painted in a style; `drawn_so` is the picture as it would be drawn."""
    engine, picture = content.run.engine, content.person.image
    mask = soften(content.person.mask(part), 1.0)
    weights = region_weights(latent_mask(mask).unsqueeze(0))
    painted = _painted(content, weights, Style(_styled(content, lora)))
    result = blend(painted, picture, mask)
    shown = (content.through_autoencoder, result, engine.decode(engine.encode(drawn_so)))
    distances = (yardstick.distance(one, content.person, part) for one in shown)
    edges = (boundary_artefact(one[0], mask[0]) for one in (picture, result))
    return _Region(*distances, prove(result, picture, mask).outside_max_abs_diff, *edges)


@torch.inference_mode()
def _restyled(content: _Inverted, lora: StyleLora, seed: int) -> Iterator[tuple[str, Tensor]]:
    """A person under every method: name, picture [1, S, S, 3]."""
    engine = content.run.engine
    latent, timesteps = content.latent, content.trajectory.timesteps
    yield "unchanged", content.person.image
    yield "through the autoencoder", content.through_autoencoder
    styled = _styled(content, lora)
    everywhere = torch.ones(1, 1, 1, *latent.shape[-2:])
    for strength in STRENGTHS:
        weaker = Style(_styled(content, lora, strength), None, 0.0, 0.0)
        picture = _painted(content, everywhere, weaker)
        yield f"injection off, LoRA at {strength:g}", picture
    methods = {
        "feature injected": (0.6, 0.0),
        "attention injected": (0.0, 0.5),
        "both injected": (0.6, 0.5),
        "both, 20 % of steps": (0.2, 0.2),
        "both, 40 % of steps": (0.4, 0.4),
        "both, 80 % of steps": (0.8, 0.8),
    }
    for name, shares in methods.items():
        yield name, _painted(content, everywhere, Style(styled, None, *shares))
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    for skipped in SKIPPED:
        left = timesteps[int(skipped * len(timesteps)) :]
        alpha = level_alpha(content.run.alphas, left[0])
        noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
        painted = sample(styled, content.run.alphas, noisy, left)
        yield f"image to image from {skipped:.0%}", engine.decode(painted / engine.latent_scale)


def _gains(points: dict[str, list[_Point]]) -> dict[str, float]:
    """Content kept at equal style by both injections, with 95 % intervals over the pairs."""
    names, values = list(points), np.array(list(points.values()))

    def gain(reference: str, rows: np.ndarray | slice = slice(None)) -> float:
        means = dict(zip(names, values[:, rows].mean(axis=1), strict=True))
        curve = [(m[0], m[2]) for name, m in means.items() if name.startswith(reference)]
        return gain_at_equal_style(curve, (means["both injected"][0], means["both injected"][2]))

    rng = np.random.default_rng(42)
    pairs = values.shape[1]
    figures = {}
    for key, reference in (
        ("content_gain_at_equal_style", "injection off"),
        ("content_gain_over_image_to_image", "image to image"),
    ):
        resampled = [gain(reference, rng.integers(0, pairs, pairs)) for _ in range(RESAMPLED)]
        low, high = np.percentile(resampled, [2.5, 97.5])
        figures |= {key: gain(reference), f"{key}_low": float(low), f"{key}_high": float(high)}
    return figures


def _region_figures(regions: dict[str, list[_Region]]) -> dict[str, float]:
    figures = {}
    for part, found in regions.items():
        for when, distances in (
            ("before", [one.through_autoencoder for one in found]),
            ("after", [one.painted for one in found]),
        ):
            for name, value in zip(_Distance._fields, np.mean(distances, axis=0), strict=True):
                figures[f"{part}_{name}_{when}"] = float(value)
    every = [one for found in regions.values() for one in found]
    figures["regions_outside_max_abs_diff"] = max(one.outside for one in every)
    return figures


def _say_regions(part: str, found: Sequence[_Region], say: Say) -> None:
    for number, name in enumerate(_Distance._fields):
        through, painted, drawn_so = (
            statistics.fmean(one[kind][number] for one in found) for kind in range(3)
        )
        nearer = sum(one.painted[number] < one.through_autoencoder[number] for one in found)
        say(
            f"  {part}, {name}: autoencoder alone {through:.3f}, painted {painted:.3f} (nearer "
            f"in {nearer} of {len(found)}), drawn in the style {drawn_so:.3f}"
        )
    before, after = (statistics.fmean(one[place] for one in found) for place in (-2, -1))
    outside = max(one.outside for one in found)
    say(f"  {part}: edge {before:.3f} -> {after:.3f}, outside {outside}")


def _say_points(points: dict[str, list[_Point]], say: Say) -> None:
    for method, found in points.items():
        learned, at_large, lost = np.mean(found, axis=0)
        say(
            f"  {method:<28} style distance {learned:.3f}, at large {at_large:.3f}, content "
            f"distance {lost:.3f}"
        )
