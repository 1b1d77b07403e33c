"""How much of a person DiffStyler keeps and how much of a style it takes, in the starter world.

A LoRA learns each style from one drawn picture and paints held-out people in it. The distance from
a style is that of Gram matrices of the starter parser's features: from those of the learned
picture, and from the mean ones of thirty other people drawn in its style, which is the style
without the content of one picture. This measure does not see every style, and the autoencoder does
not keep every style's strokes at 128 px: `_visible_styles` chooses, by drawings, those that can be
measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion.ddim import ddim_step, level_alpha
from ..diffusion.taps import Branch
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.branches import DiffusersRun
from ..engines.diffusers.lora import trainable_lora
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import starter_file
from ..models.style_lora import StyleLora
from ..techniques.diffstyler import DiffStylerSettings, latent_mask, region_weights
from ..techniques.pixel_blend import blend, prove
from ..techniques.restyling import Inverted, RegionStyle, invert_picture, paint_styles
from ..techniques.soft_mask import soften
from ..techniques.style_score import gram_distance
from ..training.style_lora import (
    STARTER_LEARNING_RATE,
    StyleLoraSettings,
    style_latents,
    train_style_lora,
)
from ..world import STYLES
from .diffstyler_figures import (
    Distance,
    Point,
    RegionPoint,
    Say,
    gains,
    region_figures,
    say_points,
    say_regions,
)
from .held_out import SIZE, as_batch, held_out
from .style_transfer import (
    Texture,
    boundary_artefact,
    layout_distance,
    mean_texture,
    texture,
)

PARTS = ("person", "background")
# Chosen, like the starter's learning rate, on the first twenty people, who are not measured.
GUIDANCE = 1.5
TUNED = range(20)
CONTENTS = range(20, 45)
REFERENCES = range(200, 230)
FIRST_STYLE_PICTURE = 1000
# A style is measured if its drawings are nearer to it than photographs by this fraction ...
SEEN = 0.1
# ... and this fraction of the difference is left after the autoencoder.
KEPT = 0.5
IN_REGIONS = 10
# Fractions of the run that plain image to image with the LoRA leaves out.
SKIPPED = (0.2, 0.4, 0.6, 0.8)
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


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
    """Draw a held-out person."""
    (found,) = held_out([index], SIZE, style)
    labels = torch.from_numpy(found.labels).unsqueeze(0)
    return Drawn(as_batch([found.image]), labels, found.captions[0])


def sample(branch: Branch, alphas: Tensor, latent: Tensor, timesteps: Sequence[int]) -> Tensor:
    """Sample a branch with two rows by DDIM, with guidance."""
    for timestep, below in zip(timesteps, [*timesteps[1:], 0], strict=True):
        negative, positive = branch(latent, timestep)
        noise = negative + GUIDANCE * (positive - negative)
        latent = ddim_step(latent, noise, level_alpha(alphas, timestep), level_alpha(alphas, below))
    return latent


@dataclass(frozen=True)
class _Yardstick:
    """A style as the parser's features see it, in whole pictures and in their parts."""

    parser: FaceParser
    learned: dict[str, Texture]
    at_large: dict[str, Texture]

    def distance(self, image: Tensor, person: Drawn, part: str = "whole") -> Distance:
        """Distance of a part of the person's picture [1, S, S, 3] from the style."""
        own = texture(image, self.parser, person.mask(part))
        return Distance(
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
    """A person and the inverted run, which does not depend on a style."""

    person: Drawn
    through_autoencoder: Tensor
    run: DiffusersRun
    inverted: Inverted


def content_and_style(engine: DiffusersEngine, quick: bool, say: Say) -> dict[str, float]:
    """Figures of content kept and style taken; `say` is called with each line of the tables."""
    parser = load_face_parser(starter_file("face_parser"))
    if quick:
        contents, steps, training = CONTENTS[:1], 5, 5
        styles = {"pencil": _yardstick("pencil", parser, REFERENCES[:2])}
    else:
        contents, steps, training = CONTENTS, 20, 200
        styles = _visible_styles(engine, parser, say)
    people = [_inverted(engine, index, steps) for index in contents]
    points: dict[str, list[Point]] = {}
    regions: dict[str, list[RegionPoint]] = {part: [] for part in PARTS}
    for name, yardstick in styles.items():
        lora = _trained(engine, _style_picture(name), training)
        say(f"{name}:")
        for part, found in regions.items():
            own = [
                _region(content, lora, yardstick, part, drawn(index, name).image)
                for index, content in zip(contents[:IN_REGIONS], people, strict=False)
            ]
            say_regions(part, own, say)
            found += own
        own_points: dict[str, list[Point]] = {}
        for index, content in enumerate(people):
            for method, image in _restyled(content, lora, index):
                lost = layout_distance(image, content.person.labels, parser)
                point = Point(*yardstick.distance(image, content.person), lost)
                own_points.setdefault(method, []).append(point)
        say_points(own_points, say)
        for method, found in own_points.items():
            points.setdefault(method, []).extend(found)
    say(f"all {len(styles)} styles, {len(people)} people each:")
    say_points(points, say)
    for part, found in regions.items():
        say_regions(part, found, say)
    return gains(points) | region_figures(regions)


@torch.inference_mode()
def _visible_styles(engine: DiffusersEngine, parser: FaceParser, say: Say) -> dict[str, _Yardstick]:
    """The styles that the measure can tell from photographs, before and after the autoencoder."""
    say("distance from each style: of a photograph, of a drawing in it; both after the autoencoder")
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
    latent = engine.encode(person.image)
    run = DiffusersRun(engine, latent.shape)
    inverted = invert_picture(run, latent, engine.encode_text([""])[0], steps, 2 * steps)
    return _Inverted(person, engine.decode(latent), run, inverted)


def _trained(engine: DiffusersEngine, shown: Drawn, steps: int) -> StyleLora:
    settings = StyleLoraSettings(_prompt(shown))
    settings = replace(settings, steps=steps, size=SIZE, learning_rate=STARTER_LEARNING_RATE)
    latents = style_latents(shown.image, engine.encode, engine.latent_scale, SIZE)
    trainable = trainable_lora(engine, settings.prompt, latents.shape, settings.rank, settings.seed)
    return train_style_lora(latents, trainable, settings)[0]


def _prompt(person: Drawn) -> str:
    return f"painting of <sss>, {person.caption}"


def _styled(content: _Inverted, lora: StyleLora) -> RegionStyle:
    negative, positive = content.run.engine.encode_text(["", _prompt(content.person)])
    return RegionStyle(positive, negative, lora)


def _painted(content: _Inverted, weights: Tensor, style: RegionStyle) -> Tensor:
    """The person in a style, [1, S, S, 3]."""
    settings = DiffStylerSettings(GUIDANCE)
    latent = paint_styles(content.run, content.inverted, [style], weights, settings)
    return content.run.engine.decode(latent)


@torch.inference_mode()
def _region(
    content: _Inverted,
    lora: StyleLora,
    yardstick: _Yardstick,
    part: str,
    drawn_so: Tensor,
) -> RegionPoint:
    """Paint one part of a picture in a style; `drawn_so` is the picture drawn in that style."""
    engine, picture = content.run.engine, content.person.image
    mask = soften(content.person.mask(part), 1.0)
    weights = region_weights(latent_mask(mask).unsqueeze(0))
    painted = _painted(content, weights, _styled(content, lora))
    result = blend(painted, picture, mask)
    shown = (content.through_autoencoder, result, engine.decode(engine.encode(drawn_so)))
    distances = (yardstick.distance(one, content.person, part) for one in shown)
    edges = (boundary_artefact(one[0], mask[0]) for one in (picture, result))
    return RegionPoint(*distances, prove(result, picture, mask).outside_max_abs_diff, *edges)


@torch.inference_mode()
def _restyled(content: _Inverted, lora: StyleLora, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the person painted by every method: name, picture [1, S, S, 3]."""
    engine = content.run.engine
    latent = content.run.into_model(content.inverted.latent)
    timesteps = content.inverted.trajectory.timesteps
    yield "unchanged", content.person.image
    yield "through the autoencoder", content.through_autoencoder
    styled = _styled(content, lora)
    everywhere = torch.ones(1, 1, 1, *latent.shape[-2:])
    for strength in STRENGTHS:
        weaker = replace(styled, style=lora.scaled(strength), feature_steps=0, attention_steps=0)
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
    for name, (feature, attention) in methods.items():
        style = replace(styled, feature_steps=feature, attention_steps=attention)
        yield name, _painted(content, everywhere, style)
    branch = content.run.branch([styled.negative, styled.positive], lora)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    for skipped in SKIPPED:
        left = timesteps[int(skipped * len(timesteps)) :]
        alpha = level_alpha(content.run.alphas, left[0])
        noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
        painted = sample(branch, content.run.alphas, noisy, left)
        yield f"image to image from {skipped:.0%}", engine.decode(content.run.out_of_model(painted))
