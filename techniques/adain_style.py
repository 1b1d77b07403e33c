"""Any picture's style in one pass, by the statistics of features.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization"
(ICCV 2017). With an encoder f and a decoder g, per channel of the features:
    AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y)                      (equation 8)
    T = (1 - alpha) f(c) + alpha sum_k w_k AdaIN(f(c), f(s_k)),  result g(T)    (equations 14, 15)
A region has its own content statistics (section 7.3, spatial control). Statistics are taken over
the whole picture, so that tiles of any size give the same result; those of a clip's frames follow
as an exponential mean and the frames themselves the optical flow, so that nothing flickers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.adain import AdaINPair
from ..models.user_input import require_choice
from .colour_transfer import COLOUR_MODES, as_grey, luminance, match_colours, with_luminance
from .neural_style import StylePicture
from .neural_style_pictures import MAX_SIDE, MIN_SIDE, painting
from .optical_flow import followed, steadied
from .shapes import as_image, as_mask, fit_mask, split_alpha

EPSILON = 1e-5
STYLE_SIDE = 512
"""Pixels of a style picture's shorter side at style_scale 1, as the decoder was trained."""

Statistics = tuple[Tensor, Tensor]
"""Mean and standard deviation [1, C, 1, 1]."""


@dataclass(frozen=True)
class AdaINStyle:
    """alpha: how far features take the style's statistics, 0 leaves the picture as it is, bit for
    bit; keep_strength: how much of the picture stays where `keep` is 1; tile: side in pixels
    beyond which a picture goes through in tiles."""

    alpha: float = 1.0
    colour: str = COLOUR_MODES[0]
    keep_strength: float = 0.5
    style_scale: float = 1.0
    tile: int = 512


def adain(content: Tensor, own: Statistics, style: Statistics) -> Tensor:
    """Equation 8: features [N, C, H, W] with other statistics."""
    return style[1] * (content - own[0]) / own[1] + style[0]


def statistics(features: Tensor, weights: Tensor | None = None) -> Statistics:
    """Mean and deviation of each channel of [N, C, H, W], weighed by [1, 1, H, W] where given.

    The variance is the unbiased one, with EPSILON added, as in the public decoder's training.
    """
    if weights is None:
        variance, mean = torch.var_mean(features, (2, 3), keepdim=True)
    else:
        total = weights.sum().clamp(min=1e-6)
        mean = (features * weights).sum((2, 3), keepdim=True) / total
        variance = ((features - mean).square() * weights).sum((2, 3), keepdim=True) / total
    return mean, (variance + EPSILON).sqrt()


@torch.no_grad()
def paint_adain(
    image: Tensor,
    styles: Sequence[StylePicture],
    pair: AdaINPair,
    settings: AdaINStyle | None = None,
    keep: Tensor | None = None,
    is_clip: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Pictures [B, H, W, C] in the styles; an alpha channel stays.

    styles: their regions are [H, W] or [B, H, W], and what no region covers stays as it is, bit
    for bit; styles that share a region are mixed by weight. keep [B or 1, H, W]. Raises ValueError
    for pictures and styles under 16 px, pictures over 4096 px, styles of one colour, masks of
    another shape and unknown settings.
    """
    settings = settings or AdaINStyle()
    pictures, paintings, kept = _checked(image, styles, settings, keep)
    if settings.alpha == 0:
        return image
    rgb, alpha = split_alpha(pictures)
    result = torch.empty_like(rgb)
    known: dict[int, Statistics] = {}
    before = None
    cached = _style_statistics(paintings, pair, settings)
    for number, picture in enumerate(rgb):
        own = [(style, _of_frame(style.region, number)) for style in paintings]
        painted, covered = _one(picture.clamp(0, 1), own, cached, pair, settings, known, is_clip)
        if is_clip and before is not None:
            painted = steadied(painted, picture, *before)
        before = painted, picture
        weight = covered
        if kept is not None:
            weight = covered * (1 - settings.keep_strength * _of_frame(kept, number))
        result[number] = torch.where(
            weight[..., None] > 0, torch.lerp(picture, painted, weight[..., None]), picture
        )
        if progress is not None:
            progress(number + 1, len(rgb))
    return result if alpha is None else torch.cat([result, alpha], -1)


def _checked(
    image: Tensor, styles: Sequence[StylePicture], settings: AdaINStyle, keep: Tensor | None
) -> tuple[Tensor, list[StylePicture], Tensor | None]:
    pictures = as_image(image, "image")
    height, width = pictures.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"The picture is {width} x {height} px; painting needs {MIN_SIDE} px.")
    if max(height, width) > MAX_SIDE:
        raise ValueError(
            f"The picture is {width} x {height} px and the limit is {MAX_SIDE}: features take "
            "memory for every pixel. Make it smaller and upscale afterwards."
        )
    require_choice("colour", settings.colour, COLOUR_MODES)
    if not any(style.weight > 0 for style in styles):
        raise ValueError("There is no style picture with a weight above 0; give one at least.")
    checked = []
    for number, style in enumerate(styles, 1):
        if style.weight <= 0:
            continue
        region = style.region
        if region is not None:
            name = f"region {number}"
            region = fit_mask(as_mask(region, name), height, width, name).to(pictures)
            _require_count(region, len(pictures), name)
        paint = painting(style.image, number, pictures)
        checked.append(StylePicture(paint, style.weight, region))
    if keep is not None:
        keep = fit_mask(as_mask(keep, "keep"), height, width, "keep").to(pictures)
        _require_count(keep, len(pictures), "keep")
    return pictures, checked, keep


def _require_count(masks: Tensor, count: int, name: str) -> None:
    if len(masks) not in (1, count):
        raise ValueError(
            f"{name} has {len(masks)} masks for {count} pictures; give one, or one each."
        )


def _of_frame(region: Tensor | None, number: int) -> Tensor | None:
    return None if region is None else region[number if len(region) > 1 else 0]


def _style_statistics(
    styles: Sequence[StylePicture], pair: AdaINPair, settings: AdaINStyle
) -> list[Statistics] | None:
    """Each style's statistics once, or None where they depend on the frame's colours."""
    if settings.colour == COLOUR_MODES[1]:
        return None
    return [_of_style(style.image, pair, settings) for style in styles]


def _of_style(painting: Tensor, pair: AdaINPair, settings: AdaINStyle) -> Statistics:
    x = _as_seen(painting, pair).movedim(-1, 0)[None]
    scale = STYLE_SIDE * settings.style_scale / min(x.shape[2:])
    # Enlarging a painting adds no strokes.
    size = [max(MIN_SIDE, round(side * min(1.0, scale))) for side in x.shape[2:]]
    x = F.interpolate(x, size, mode="bilinear", antialias=True)
    return statistics(_encoded(_padded(x, pair.step), pair, settings.tile))


def _one(
    picture: Tensor, styles: Sequence[tuple[StylePicture, Tensor | None]],
    cached: list[Statistics] | None, pair: AdaINPair, settings: AdaINStyle,
    known: dict[int, Statistics], is_clip: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One picture [H, W, 3] painted everywhere, and how far it is to be [H, W]."""
    height, width = picture.shape[:2]
    if cached is None:
        cached = [
            _of_style(match_colours(style.image, picture), pair, settings) for style, _ in styles
        ]
    groups, covered = _groups(styles, cached, picture)
    if not covered.any():
        return picture, covered
    parts, covers = [], []
    coloured, encoded, features = torch.zeros_like(picture), None, None
    for number, (region, members) in enumerate(groups):
        if not region.any():
            continue
        content = _content(picture, members, pair, settings)
        coloured += region[..., None] * content
        # The public pair sees the same content in every region: it is encoded once.
        if features is None or content is not encoded:
            cells = _padded(_as_seen(content, pair).movedim(-1, 0)[None], pair.step)
            encoded, features = content, _encoded(cells, pair, settings.tile)
        weights = F.adaptive_avg_pool2d(
            _padded(region[None, None], pair.step), tuple(features.shape[2:])
        )
        whole = bool((region == 1).all())
        own = statistics(features, None if whole else weights)
        if is_clip:
            own = known[number] = followed(known.get(number, own), own)
        mean = sum(weight * style[0] for _, weight, style in members)
        deviation = sum(weight * style[1] for _, weight, style in members)
        # A convex mix of AdaINs of one content is AdaIN with the mixed statistics.
        target = adain(features, own, (mean, deviation))
        parts.append(weights * torch.lerp(features, target, settings.alpha))
        covers.append(weights)
    mixed = torch.stack(parts).sum(dim=0) / torch.stack(covers).sum(dim=0).clamp(min=1e-6)
    painted = _decoded(mixed, pair, settings.tile)[0, :, :height, :width].movedim(0, -1).clamp(0, 1)
    if pair.paints_light:
        coloured = coloured / covered.clamp(min=1e-6)[..., None]
        painted = with_luminance(coloured, luminance(painted))
    if settings.colour == COLOUR_MODES[2]:
        painted = with_luminance(picture, luminance(painted))
    return painted, covered


def _groups(
    styles: Sequence[tuple[StylePicture, Tensor | None]], cached: Sequence[Statistics],
    picture: Tensor,
) -> tuple[list[tuple[Tensor, list[tuple[Tensor, float, Statistics]]]], Tensor]:  # fmt: skip
    """Regions [H, W] with (painting, weight, statistics) of their styles, and the regions' sum.

    Styles without a region share the rest; regions that meet are shared by their values.
    """
    height, width = picture.shape[:2]
    found: list[tuple[Tensor | None, list]] = []
    for (style, region), seen in zip(styles, cached, strict=True):
        same = next(
            (members for known, members in found if region is known or _equal(known, region)), None
        )
        if same is None:
            found.append((region, [(style.image, style.weight, seen)]))
        else:
            same.append((style.image, style.weight, seen))
    given = [region for region, _ in found if region is not None]
    together = torch.stack(given).sum(0) if given else picture.new_zeros(height, width)
    rest = (1 - together).clamp(min=0)
    groups, covered = [], picture.new_zeros(height, width)
    for region, members in found:
        where = rest if region is None else region / together.clamp(min=1)
        whole = sum(weight for _, weight, _ in members)
        groups.append((where, [(paint, weight / whole, seen) for paint, weight, seen in members]))
        covered = covered + where
    return groups, covered.clamp(max=1)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def _content(
    picture: Tensor, members: Sequence[tuple[Tensor, float, Statistics]], pair: AdaINPair,
    settings: AdaINStyle,
) -> Tensor:  # fmt: skip
    """The picture whose forms are painted; for a pair that paints light, in the style's colours."""
    if not pair.paints_light or settings.colour == COLOUR_MODES[1]:
        return picture
    matched = sum(weight * match_colours(picture, paint) for paint, weight, _ in members)
    return torch.lerp(picture, matched, settings.alpha)


def _as_seen(picture: Tensor, pair: AdaINPair) -> Tensor:
    """A picture [H, W, 3] as the encoder learned to see it."""
    return as_grey(picture) if pair.paints_light else picture


def _encoded(x: Tensor, pair: AdaINPair, tile: int) -> Tensor:
    return _in_tiles(x, pair.encoder, tile // pair.step * pair.step, pair.reach, 1, pair.step)


def _decoded(features: Tensor, pair: AdaINPair, tile: int) -> Tensor:
    side = max(1, tile // pair.step)
    return _in_tiles(features, pair.decoder, side, pair.reach // pair.step, pair.step, 1)


def _in_tiles(
    x: Tensor, network: nn.Module, tile: int, margin: int, larger: int, smaller: int
) -> Tensor:
    """[1, C, H, W] through a network that makes sides `larger` or `smaller` times as long.

    With a margin of all that a pixel depends on, tiles equal the whole.
    """
    height, width = x.shape[2:]
    tile = max(tile, smaller)
    if max(height, width) <= tile:
        return network(x)
    result = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(0, top - margin), max(0, left - margin)
            below, after = min(height, bottom + margin), min(width, right + margin)
            part = network(x[:, :, above:below, before:after])
            top_, left_, bottom_, right_, above_, before_ = (
                side * larger // smaller for side in (top, left, bottom, right, above, before)
            )
            if result is None:
                shape = (height * larger // smaller, width * larger // smaller)
                result = part.new_empty(1, part.shape[1], *shape)
            result[:, :, top_:bottom_, left_:right_] = part[
                :, :, top_ - above_ : bottom_ - above_, left_ - before_ : right_ - before_
            ]
    return result


def _padded(x: Tensor, step: int) -> Tensor:
    """Sides made multiples of the step by mirroring."""
    right, bottom = -x.shape[3] % step, -x.shape[2] % step
    return F.pad(x, (0, right, 0, bottom), mode="reflect") if right or bottom else x
