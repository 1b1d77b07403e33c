"""Painting a picture in the style of others, from coarse to fine, whatever tells the style.

Gatys et al., "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), optimises the
picture itself. Here it is done over sizes that grow by a constant factor, each beginning with the
last one's result, as large strokes are laid out before small ones; a painter does one size:
`patch_painting.PatchPainter` needs no files, `gram_painting.GramPainter` needs VGG-19. Space and
colour are controlled as in "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..models.user_input import require_choice
from .colour_transfer import COLOUR_MODES, as_grey, luminance, match_colours, with_luminance
from .neural_style_pictures import (
    MIN_SIDE,
    coarse_to_fine,
    one_mask,
    one_picture,
    painting,
    require_size,
    resized,
    target_size,
    with_alpha,
)

STARTS = ("picture", "noise")
KEPT_COLOURS = 0.6
"""Fraction of its own colours that the kept part retains, so that faces do not take on colours such
as blue.
"""

Progress = Callable[[int, int, Tensor, float], bool]
"""progress(steps done, of how many, picture so far [H, W, 3], loss); True ends it there."""


@dataclass(frozen=True)
class StylePicture:
    """image [h, w, 3]; region [H, W] of the picture that is painted in it, None for all of it;
    weight: relative to those of the other styles of one region."""

    image: Tensor
    weight: float = 1.0
    region: Tensor | None = None


@dataclass(frozen=True)
class NeuralStyle:
    """Settings that all painters share.

    strength: 0 leaves the picture as it is, bit for bit; content_weight and style_weight: only
    their ratio counts, 1 is the painter's own; size: longer side of the result in pixels, 0 for
    the picture's own; coarsest: first size as a fraction of that, smaller moves more of the layout;
    style_scale: size of the style picture beside the picture's; keep_strength: how much of the
    content is kept where `keep` is 1.
    """

    strength: float = 1.0
    content_weight: float = 1.0
    style_weight: float = 1.0
    size: int = 0
    coarsest: float = 0.15
    style_scale: float = 1.0
    colour: str = COLOUR_MODES[0]
    start: str = STARTS[0]
    keep_strength: float = 0.8
    seed: int = 0


@dataclass(frozen=True)
class Level:
    """What a painter needs at one size.

    content [1, 3, H, W] in the style's colours; styles: picture [1, 3, h, w], weight, region
    [1, 1, H, W]; keep [1, 1, H, W]; progress: 0 at the coarsest size, 1 at the finest; match: the
    style whose colours all of the picture takes, or None; anchor [1, 3, H, W] and its weight
    [1, 1, H, W]: what the picture should look like for another reason, such as the last frame.
    """

    content: Tensor
    styles: Sequence[tuple[Tensor, float, Tensor]]
    keep: Tensor
    progress: float
    is_last: bool
    strength: float
    content_weight: float
    match: Tensor | None
    anchor: Tensor | None
    anchor_weight: Tensor | None
    generator: torch.Generator

    def groups(self) -> list[tuple[Tensor, list[tuple[Tensor, float]]]]:
        """Each region once with its styles and their weights."""
        found: list[tuple[Tensor, list[tuple[Tensor, float]]]] = []
        for style, weight, region in self.styles:
            same = next((members for known, members in found if known is region), None)
            if same is None:
                found.append((region, [(style, weight)]))
            else:
                same.append((style, weight))
        return found

    def anchored(self, picture: Tensor) -> Tensor:
        """The picture drawn to the anchor."""
        if self.anchor is None or self.anchor_weight is None:
            return picture
        return torch.lerp(picture, self.anchor, self.anchor_weight)


class Painter(Protocol):
    """Does one size; see `patch_painting` and `gram_painting`."""

    smallest: int

    def steps_at(self, level: int) -> int:
        """How many steps the size number `level` takes, from the coarsest."""
        ...

    def paint(
        self, level: Level, picture: Tensor, report: Callable[[Tensor, float], bool]
    ) -> Tensor:
        """The picture [1, 3, H, W] painted; report(picture, loss) is True where it shall end."""
        ...


@dataclass(frozen=True)
class Painting:
    """The picture [H, W, C], the loss of every step, and whether it was ended early."""

    picture: Tensor
    losses: list[float]
    ended_early: bool = False


def neural_style(
    image: Tensor,
    styles: Sequence[StylePicture],
    painter: Painter,
    settings: NeuralStyle | None = None,
    keep: Tensor | None = None,
    progress: Progress | None = None,
    last_frame: tuple[Tensor, Tensor] | None = None,
) -> Painting:
    """Paint a picture [H, W, C] in the styles; an alpha channel stays the picture's.

    keep [H, W]: where the content weighs more, such as a face. What no region covers stays as it
    is. last_frame: what the result should look like [H, W, 3], and how sure that is [H, W]; then
    only the finer sizes are painted. Raises ValueError for pictures that are too small or too
    large, styles of one colour, masks of another shape and unknown settings.
    """
    # A painter may need gradients, which tensors of inference mode cannot be part of.
    with torch.inference_mode(False), torch.no_grad():
        return _paint(image, styles, painter, settings or NeuralStyle(), keep, progress, last_frame)


def _paint(
    image: Tensor, styles: Sequence[StylePicture], painter: Painter, settings: NeuralStyle,
    keep: Tensor | None, progress: Progress | None, last_frame: tuple[Tensor, Tensor] | None,
) -> Painting:  # fmt: skip
    picture, styles, keep = _checked(image, styles, settings, keep)
    _, _, height, width = picture.shape
    target = target_size(height, width, settings.size)
    if settings.strength == 0 and target == (height, width):
        return Painting(image, [])
    regions, covered = _regions([style.region for style in styles], target, picture)
    if not covered.any():
        return Painting(with_alpha(_pixels(resized(picture, target)), image), [])
    content, paints = _colours(picture, styles, target, settings, regions, resized(keep, target))
    sizes = coarse_to_fine(
        target, settings.coarsest if last_frame is None else 0.6, painter.smallest
    )
    total = sum(painter.steps_at(level) for level in range(len(sizes)))
    generator = torch.Generator().manual_seed(settings.seed)
    losses: list[float] = []
    state = {"ended": False}
    painted = None
    for number, size in enumerate(sizes):
        level = _level(
            number / max(1, len(sizes) - 1), number == len(sizes) - 1, size, target, content,
            paints, [style.weight for style in styles], regions, keep, settings, last_frame,
            generator,
        )  # fmt: skip
        painted = _begin(level, painted, size, settings, generator)

        def report(now: Tensor, loss: float) -> bool:
            losses.append(loss)
            if progress is not None and progress(len(losses), total, _pixels(now), loss):
                state["ended"] = True
            return state["ended"]

        painted = painter.paint(level, painted, report)
        if state["ended"]:
            break
    result = _finish(painted, picture, target, covered, settings)
    return Painting(with_alpha(result, image), losses, state["ended"])


def _checked(
    image: Tensor, styles: Sequence[StylePicture], settings: NeuralStyle, keep: Tensor | None
) -> tuple[Tensor, list[StylePicture], Tensor]:
    require_choice("colour", settings.colour, COLOUR_MODES)
    require_choice("start", settings.start, STARTS)
    picture = one_picture(image, "image")
    height, width = picture.shape[:2]
    require_size(height, width, settings.size)
    if not styles:
        raise ValueError("There is no style picture; connect at least one.")
    if settings.style_weight <= 0 or not any(style.weight > 0 for style in styles):
        raise ValueError("All styles have weight 0, so there is nothing to paint with.")
    checked = []
    for number, style in enumerate(styles, 1):
        if style.weight <= 0:
            continue
        region = style.region
        if region is not None:
            region = one_mask(region, height, width, f"region {number}").to(picture)
            drawn = (other.region for other in checked if other.region is not None)
            # Styles of one region are mixed in it, and `Level.groups` knows it by its identity.
            region = next((other for other in drawn if torch.equal(other, region)), region)
        paint = painting(style.image, number, picture)
        checked.append(StylePicture(paint, style.weight, region))
    kept = picture.new_zeros(1, height, width)
    if keep is not None:
        kept = one_mask(keep, height, width, "keep").to(picture) * settings.keep_strength
    return picture.movedim(-1, 0)[None], checked, kept[None]


def _regions(
    regions: Sequence[Tensor | None], size: tuple[int, int], picture: Tensor
) -> tuple[list[Tensor], Tensor]:
    """A region [1, 1, H, W] for each style, nowhere more than 1 together, and their sum.

    Styles with the same region share it, and those without one share the rest.
    """
    drawn = {id(region): resized(region[None], size) for region in regions if region is not None}
    if not drawn:
        whole = picture.new_ones(1, 1, *size)
        return [whole] * len(regions), whole
    together = torch.stack(list(drawn.values())).sum(0)
    drawn = {key: region / together.clamp(min=1) for key, region in drawn.items()}
    rest = (1 - together).clamp(min=0)
    result = [rest if region is None else drawn[id(region)] for region in regions]
    distinct = {id(region): region for region in result}
    return result, torch.stack(list(distinct.values())).sum(0).clamp(max=1)


def _colours(
    picture: Tensor, styles: Sequence[StylePicture], size: tuple[int, int], settings: NeuralStyle,
    regions: Sequence[Tensor], keep: Tensor,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """The content [1, 3, H, W] and the styles [1, 3, h, w] in the colours that are painted with."""
    content = resized(picture, size)
    pixels = content[0].movedim(0, -1)
    paints = [style.image for style in styles]
    if settings.colour == COLOUR_MODES[1]:
        paints = [match_colours(paint, pixels) for paint in paints]
    elif settings.colour == COLOUR_MODES[2]:
        paints = [as_grey(paint, pixels) for paint in paints]
        content = as_grey(pixels).movedim(-1, 0)[None]
    else:
        weights = [region * style.weight for region, style in zip(regions, styles, strict=True)]
        matched = [match_colours(pixels, paint).movedim(-1, 0)[None] for paint in paints]
        total = torch.stack(weights).sum(0).clamp(min=1e-6)
        parts = [weight * part for weight, part in zip(weights, matched, strict=True)]
        mixed = torch.stack(parts).sum(0) / total
        change = settings.strength * (1 - KEPT_COLOURS * keep) * (total > 1e-5).to(content)
        content = torch.lerp(content, mixed, change)
    return content, [paint.movedim(-1, 0)[None] for paint in paints]


def _level(
    progress: float, is_last: bool, size: tuple[int, int], target: tuple[int, int], content: Tensor,
    paints: Sequence[Tensor], weights: Sequence[float], regions: Sequence[Tensor], keep: Tensor,
    settings: NeuralStyle, last_frame: tuple[Tensor, Tensor] | None, generator: torch.Generator,
) -> Level:  # fmt: skip
    scale = max(size) / max(target)
    long_side = max(target)
    styles = []
    # A region that styles share stays one object, so that they are painted together.
    small = {id(region): resized(region, size) for region in regions}
    for paint, weight, region in zip(paints, weights, regions, strict=True):
        height, width = paint.shape[2:]
        factor = long_side * scale * settings.style_scale / max(height, width)
        shape = tuple(max(MIN_SIDE, round(side * factor)) for side in (height, width))
        styles.append((resized(paint, shape), weight, small[id(region)]))
    anchor = weight = None
    if last_frame is not None:
        anchor = resized(last_frame[0].movedim(-1, 0)[None], size)
        weight = resized(last_frame[1][None, None], size)
    alone = len(styles) == 1 and settings.colour == COLOUR_MODES[0]
    return Level(
        content=resized(content, size),
        styles=styles,
        keep=resized(keep, size),
        progress=progress,
        is_last=is_last,
        strength=settings.strength,
        content_weight=settings.content_weight / settings.style_weight,
        match=styles[0][0] if alone and bool((regions[0] == 1).all()) else None,
        anchor=anchor,
        anchor_weight=weight,
        generator=generator,
    )


def _begin(
    level: Level, painted: Tensor | None, size: tuple[int, int], settings: NeuralStyle,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    if painted is not None:
        return level.anchored(resized(painted, size))
    if settings.start == "noise":
        noise = torch.rand(level.content.shape, generator=generator).to(level.content)
        return torch.lerp(noise, level.content, level.keep)
    return level.anchored(level.content)


def _finish(
    painted: Tensor, picture: Tensor, size: tuple[int, int], covered: Tensor, settings: NeuralStyle
) -> Tensor:
    """The result [H, W, 3]: the picture itself where no region is."""
    original = resized(picture, size)
    result = resized(painted, size)
    if settings.colour == COLOUR_MODES[2]:
        lightness = luminance(result[0].movedim(0, -1))
        result = with_luminance(original[0].movedim(0, -1), lightness).movedim(-1, 0)[None]
    blended = torch.lerp(original, result, covered)
    return _pixels(torch.where(covered > 0, blended, original))


def _pixels(picture: Tensor) -> Tensor:
    return picture.detach()[0].movedim(0, -1)
