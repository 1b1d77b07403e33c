"""A hole in a picture filled with patches from around it, without a model.

Space-time completion on one picture (Wexler, Shechtman, Irani, "Space-Time Completion of Video",
PAMI 2007): from coarse to fine, every patch that touches the hole takes its nearest known patch,
and a hole's pixel becomes the mean of what the patches over it say, weighted by how alike they are
and how near to the hole's edge. Nearest patches are found by PatchMatch (Barnes et al., SIGGRAPH
2009): good matches spread to neighbours, beside random trials in a shrinking window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .hole_fill import fill_smooth

PATCH = 7
RADIUS = PATCH // 2
SMALLEST_HOLE = 4
"""Pixels of the hole's depth at which the coarsest size begins."""
SMALLEST_SIDE = 24
ROUNDS = 4
"""Fill-and-match rounds at the coarser sizes."""
MOST_SEARCHED, MOST_MATCHED = 4_000, 60_000
"""Patches over the hole beyond which nothing is searched at random, and beyond which a size takes
the next coarser one's matches as they are."""
SIMILAR = 0.75
"""The quantile of the patches' distances that counts as alike."""
INWARD = 1.3
"""By this factor a patch's word counts less for each pixel farther inside the hole."""
MARGIN = 1.5
"""The window that is searched around the hole, in sides of the hole's box."""


@dataclass(frozen=True)
class _Field:
    """Where each query, a patch's middle (y, x), is matched: long [N, 2] both; distances [N]."""

    queries: Tensor
    matches: Tensor
    distances: Tensor


def fill_patches(
    picture: Tensor, hole: Tensor, seed: int = 0, avoid: Tensor | None = None
) -> Tensor:
    """Fill a hole, bool [H, W], of a picture [H, W, 3] from around it.

    avoid: bool [H, W], where no patch is taken, such as people. Raises ValueError where both leave
    no whole patch to take.
    """
    rows, columns = _window(hole)
    part, missing = picture[rows, columns].cpu(), hole[rows, columns].cpu()
    taboo = missing if avoid is None else missing | avoid[rows, columns].cpu()
    if not _sources(taboo).any():
        raise ValueError(
            f"The mask covers {float(hole.float().mean()):.0%} of the picture, and no patch of "
            f"{PATCH} px is left to fill it from. Make the masks smaller, or take method smooth."
        )
    # The device's own generator has no say: the same seed gives the same picture everywhere.
    random = torch.Generator().manual_seed(seed % 2**63)
    result = picture.clone()
    filled = _complete(part.movedim(-1, 0), missing, taboo, random).movedim(0, -1)
    result[rows, columns] = filled.to(result.device)
    return result


def _window(hole: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the hole and what is searched around it."""
    spans = []
    edges = [line.nonzero().flatten() for line in (hole.any(1), hole.any(0))]
    reach = round(MARGIN * max(int(e[-1] - e[0]) + 1 for e in edges)) + 4 * PATCH
    for found in edges:
        spans.append(slice(max(int(found[0]) - reach, 0), int(found[-1]) + reach + 1))
    return spans[0], spans[1]


def _complete(picture: Tensor, hole: Tensor, taboo: Tensor, random: torch.Generator) -> Tensor:
    """A picture [3, H, W] with its hole [H, W] filled, from the coarsest size to its own."""
    sizes = [(picture, hole, taboo)]
    smallest = min(hole.shape)
    while _depth(sizes[-1][1]).max() > SMALLEST_HOLE and smallest >> len(sizes) >= SMALLEST_SIDE:
        smaller = _halved(*sizes[-1])
        if not _sources(smaller[2]).any():
            break
        sizes.append(smaller)
    filled, matched = None, None
    for values, missing, never in reversed(sizes):
        if filled is None:
            known = (~missing).float().unsqueeze(0)
            filled = fill_smooth(values.movedim(0, -1).unsqueeze(0), known)[0].movedim(-1, 0)
        else:
            larger = F.interpolate(filled.unsqueeze(0), values.shape[1:], mode="bilinear")[0]
            filled = torch.where(missing, larger, values)
        filled, matched = _fill_one_size(filled, missing, _sources(never), matched, random)
    return filled


def _halved(picture: Tensor, hole: Tensor, taboo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All at half the size; a pixel is known where all that it shows is."""
    known = (~hole).float()
    weights = F.avg_pool2d(known[None, None], 2, ceil_mode=True)[0]
    sums = F.avg_pool2d((picture * known).unsqueeze(0), 2, ceil_mode=True)[0]
    never = F.max_pool2d(taboo.float()[None], 2, ceil_mode=True)[0] > 0
    return sums / weights.clamp_min(1e-6), weights[0] < 0.999, never


def _fill_one_size(
    picture: Tensor,
    hole: Tensor,
    sources: Tensor,
    coarser: Tensor | None,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The picture with its hole filled, and the map of matches [H, W, 2]."""
    queries = _touching(hole).nonzero()
    places = sources.nonzero()
    first = places[torch.randint(len(places), (len(queries),), generator=random)]
    if coarser is not None:
        guess = 2 * coarser[tuple((queries // 2).unbind(1))] + queries % 2
        guess = torch.minimum(guess, torch.tensor(hole.shape) - 1)
        first = torch.where(sources[tuple(guess.unbind(1))].unsqueeze(1), guess, first)
    inward = INWARD ** -_depth(hole)
    searched, kept = len(queries) <= MOST_SEARCHED, len(queries) > MOST_MATCHED
    matched = torch.zeros(*hole.shape, 2, dtype=torch.long)
    for _ in range(ROUNDS if searched else 1):
        field = _Field(queries, first, torch.zeros(len(queries)))
        if not kept:
            field = _matched(picture, sources, field, random if searched else None)
        first = field.matches
        picture = _vote(picture, hole, field, inward)
    matched[tuple(queries.unbind(1))] = first
    return picture, matched


def _matched(
    picture: Tensor, sources: Tensor, field: _Field, random: torch.Generator | None
) -> _Field:
    """The field with nearer patches: its neighbours', and random ones if a generator is given."""
    patches = _patches(picture)
    distances = _distance(patches, field.queries, field.matches)
    field = _spread(patches, sources, replace(field, distances=distances))
    return field if random is None else _try_random(patches, sources, field, random)


@dataclass(frozen=True)
class _Patches:
    """Every patch of a picture [rows * columns, 3 * PATCH * PATCH], and columns."""

    values: Tensor
    columns: int

    def at(self, middles: Tensor) -> Tensor:
        """The patches around middles (y, x) [N, 2]."""
        corner = middles - RADIUS
        return self.values[corner[:, 0] * self.columns + corner[:, 1]]


def _patches(picture: Tensor) -> _Patches:
    values = F.unfold(picture.unsqueeze(0), PATCH)[0].T.contiguous()
    return _Patches(values, picture.shape[2] - PATCH + 1)


def _distance(patches: _Patches, queries: Tensor, places: Tensor) -> Tensor:
    """The mean squared difference [N] of the patches at two lists of middles [N, 2]."""
    return (patches.at(queries) - patches.at(places)).square().mean(1)


def _better(patches: _Patches, sources: Tensor, field: _Field, offers: Tensor) -> _Field:
    """The field with the offered places [N, 2] where they are known patches and nearer."""
    inside = offers.clamp_min(0).minimum(torch.tensor(sources.shape) - 1)
    valid = (inside == offers).all(1) & sources[tuple(inside.unbind(1))]
    asked = valid.nonzero().flatten()
    matches, distances = field.matches.clone(), field.distances.clone()
    found = _distance(patches, field.queries[asked], inside[asked])
    nearer = asked[found < distances[asked]]
    distances[asked] = torch.minimum(distances[asked], found)
    matches[nearer] = inside[nearer]
    return _Field(field.queries, matches, distances)


def _spread(patches: _Patches, sources: Tensor, field: _Field) -> _Field:
    """Neighbours' matches, moved as the neighbours are."""
    number = torch.full(sources.shape, -1)
    number[tuple(field.queries.unbind(1))] = torch.arange(len(field.queries))
    for step in (1, 4):
        for move in ((0, step), (0, -step), (step, 0), (-step, 0)):
            shift = torch.tensor(move)
            beside = (field.queries + shift).clamp_min(0)
            beside = beside.minimum(torch.tensor(sources.shape) - 1)
            their = number[tuple(beside.unbind(1))]
            offers = torch.where(their.unsqueeze(1) >= 0, field.matches[their] - shift, -1)
            field = _better(patches, sources, field, offers)
    return field


def _try_random(
    patches: _Patches, sources: Tensor, field: _Field, random: torch.Generator
) -> _Field:
    reach = max(sources.shape)
    while reach >= 2:
        away = torch.rand(len(field.queries), 2, generator=random) * 2 - 1
        field = _better(patches, sources, field, field.matches + (away * reach).round().long())
        reach //= 4
    return field


def _vote(picture: Tensor, hole: Tensor, field: _Field, inward: Tensor) -> Tensor:
    """The hole's pixels as the weighted mean of what the patches over them say."""
    alike = field.distances.quantile(SIMILAR).clamp_min(1e-6)
    weights = torch.exp(-field.distances / (2 * alike)) * inward[tuple(field.queries.unbind(1))]
    height, width = hole.shape
    sums, total = torch.zeros(3, height * width), torch.zeros(height * width)
    flat = picture.flatten(1)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            shift = torch.tensor([dy, dx])
            to, source = (
                (p + shift)[:, 0] * width + (p + shift)[:, 1]
                for p in (field.queries, field.matches)
            )
            sums.index_add_(1, to, flat[:, source] * weights)
            total.index_add_(0, to, weights)
    voted = (sums / total.clamp_min(1e-12)).view_as(picture)
    return torch.where(hole & (total.view(height, width) > 0), voted, picture)


def _sources(taboo: Tensor) -> Tensor:
    """Middles of patches that may be taken, bool [H, W]."""
    return _whole(taboo) & ~_dilated(taboo)


def _touching(hole: Tensor) -> Tensor:
    """Middles of patches within the picture that touch the hole, bool [H, W]."""
    return _whole(hole) & _dilated(hole)


def _whole(hole: Tensor) -> Tensor:
    inside = torch.zeros_like(hole)
    inside[RADIUS : hole.shape[0] - RADIUS, RADIUS : hole.shape[1] - RADIUS] = True
    return inside


def _dilated(hole: Tensor) -> Tensor:
    return F.max_pool2d(hole.float()[None, None], PATCH, 1, RADIUS)[0, 0] > 0


def _depth(hole: Tensor) -> Tensor:
    """Pixels from each pixel to the hole's edge, 0 outside."""
    return torch.from_numpy(cv2.distanceTransform(hole.numpy().astype(np.uint8), cv2.DIST_L2, 5))
