"""All patches of style pictures, and which of them look like the patches of another picture.

A patch p x p x 3 is compared by its leading principal components under a Gaussian window. Nearest
patches are found in three steps:
  * of a random sample of the style's patches, the nearest by d(q, k) / (alpha + min_q' d(q', k)):
    a patch that is near to no query is preferred, so that the whole painting is used and not only
    its flattest spots (Granot et al., "Drop the GAN: In Defense of Patches Nearest Neighbors as
    Single Image Generative Models", CVPR 2022, equation 2);
  * the patches beside those that the neighbours chose, out of all patches (Ashikhmin,
    "Synthesizing Natural Textures", 2001; the propagation of PatchMatch, Barnes et al. 2009);
  * these are preferred while they are at most (1 + kappa) as far: whole strokes come from one place
    (Hertzmann et al., "Image Analogies", 2001, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

QUERIES_AT_ONCE = 1024
QUERIES_FOR_COVERAGE = 16384
PATCHES_FOR_AXES = 8192


@dataclass(frozen=True)
class PatchSearch:
    """patch: side in pixels; samples: patches of the style that are looked through for each;
    axes: principal components that are compared; coverage: alpha, in units of the mean squared
    difference of a value, smaller uses more of the painting; coherence: kappa."""

    patch: int = 9
    samples: int = 12000
    axes: int = 32
    coverage: float = 0.001
    coherence: float = 0.3


def window(patch: int, sigma: float) -> Tensor:
    """A Gaussian [patch, patch] with its top at 1."""
    line = torch.exp(-((torch.arange(patch) - (patch - 1) / 2) ** 2) / (2 * sigma * sigma))
    return line[:, None] * line


class StylePatches:
    """The patches of pictures [1, 3, h, w] and of their mirror images, sampled by weight.

    Patches are given by place: (source, row, column) of the upper left corner, three int64 [n].
    """

    def __init__(
        self,
        pictures: Sequence[Tensor],
        weights: Sequence[float],
        search: PatchSearch,
        generator: torch.Generator,
    ) -> None:
        self.search = search
        sources = [turned for picture in pictures for turned in (picture, picture.flip(3))]
        device = sources[0].device
        sizes = torch.tensor([source.shape[2:] for source in sources], device=device)
        self.widths = sizes[:, 1]
        self.rows, self.columns = (sizes - search.patch + 1).unbind(1)
        self.pixels = torch.cat([source[0].flatten(1) for source in sources], 1)
        self.pixel_base = _starts(sizes.prod(1))
        self.patch_base = _starts(self.rows * self.columns)
        self.places = self._sample(weights, generator)
        self._compare_by(sources)

    def _sample(self, weights: Sequence[float], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Places of at most `samples` patches, divided among the sources by weight."""
        parts = []
        for source in range(len(self.rows)):
            fraction = weights[source // 2] / sum(weights) / 2
            count = max(1, round(self.search.samples * fraction))
            total = int(self.rows[source] * self.columns[source])
            chosen = torch.randint(total, (count,), generator=generator)
            chosen = chosen if count < total else torch.arange(total)
            columns = int(self.columns[source])
            parts.append((torch.full_like(chosen, source), chosen // columns, chosen % columns))
        joined = (torch.cat(part).to(self.rows.device) for part in zip(*parts, strict=True))
        return tuple(joined)

    def _compare_by(self, sources: Sequence[Tensor]) -> None:
        """Find the principal components, and the features of all patches and of the sample."""
        patch = self.search.patch
        shape = window(patch, patch / 4).sqrt().repeat(3, 1, 1).flatten().to(self.pixels)
        step = max(1, len(self.places[0]) // PATCHES_FOR_AXES)
        some = self.look(*(part[::step] for part in self.places)) * shape
        mean = some.mean(0)
        centred = (some - mean).double()
        vectors = torch.linalg.eigh(centred.T @ centred)[1][:, -self.search.axes :].to(some)
        self.filters = (vectors * shape[:, None]).T.reshape(-1, 3, patch, patch)
        self.offset = mean @ vectors
        self.all = torch.cat([self.features(source, 1).flatten(1) for source in sources], 1).T
        self.sample = self.all[self._index(*self.places)]

    def features(self, picture: Tensor, stride: int) -> Tensor:
        """Features [axes, rows, columns] of the patches of a picture [1, 3, H, W]."""
        return F.conv2d(picture, self.filters, stride=stride)[0] - self.offset[:, None, None]

    def look(self, source: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The patches [n, 3 * patch * patch] at places."""
        side = torch.arange(self.search.patch, device=row.device)
        corner = self.pixel_base[source] + row * self.widths[source] + column
        within = (side[None, :, None] * self.widths[source][:, None, None]) + side
        index = (corner[:, None, None] + within).flatten(1)
        return self.pixels[:, index].movedim(0, 1).flatten(1)

    def nearest(self, wanted: Tensor, stride: int, used: Tensor) -> tuple[Tensor, ...]:
        """The places [rows, columns] that suit features [axes, rows, columns] best.

        stride: pixels between two patches; used bool [rows, columns]: which patches are wanted;
        the places of others are undefined. Returns source, row, column and the squared distance.
        """
        shape = wanted.shape[1:]
        queries = wanted.flatten(1).T[used.flatten()]
        found = self._nearest_of_sample(queries)
        source, row, column = (part.new_zeros(shape) for part in self.places)
        for grid, part in zip((source, row, column), self.places, strict=True):
            grid[used] = part[found]
        distance = wanted.new_full(shape, float("inf"))
        distance[used] = (queries - self.sample[found]).square().sum(1)
        places = (source, row, column, distance)
        for step in (1, -1):
            for axis in (0, 1):
                places = self._ask_neighbours(places, wanted, stride, step, axis, used)
        return places

    def _nearest_of_sample(self, queries: Tensor) -> Tensor:
        sample, alpha = self.sample, self.search.coverage
        squares, values = sample.square().sum(1), 3 * self.search.patch**2
        every = max(1, len(queries) // QUERIES_FOR_COVERAGE)
        closest = torch.full_like(squares, float("inf"))
        for part in queries[::every].split(QUERIES_AT_ONCE):
            closest = torch.minimum(closest, _distances(part, sample, squares).amin(0))
        wanted = 1 / (alpha * values + closest.clamp(min=0))
        found = [
            _distances(part, sample, squares).mul_(wanted).argmin(1)
            for part in queries.split(QUERIES_AT_ONCE)
        ]
        return torch.cat(found)

    def _ask_neighbours(
        self, places: tuple[Tensor, ...], wanted: Tensor, stride: int, step: int, axis: int,
        used: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Try each neighbour's place, shifted by the neighbour's distance; keep better ones."""
        source, row, column, distance = places
        moved = [part.roll(step, axis) for part in (source, row, column)]
        moved[1 + axis] = moved[1 + axis] + step * stride
        inside = used & used.roll(step, axis)
        inside.select(axis, 0 if step > 0 else -1).fill_(False)
        for value, limits in ((moved[1], self.rows), (moved[2], self.columns)):
            inside &= (value >= 0) & (value < limits[moved[0]])
        candidate = [part[inside] for part in moved]
        values = self.all[self._index(*candidate)]
        far = (wanted.flatten(1).T[inside.flatten()] - values).square().sum(1)
        better = far < distance[inside] * (1 + self.search.coherence)
        chosen = inside.clone()
        chosen[inside] = better
        result = [part.clone() for part in places]
        for grid, value in zip(result, (*candidate, far), strict=True):
            grid[chosen] = value[better]
        return tuple(result)

    def _index(self, source: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return self.patch_base[source] + row * self.columns[source] + column


def _distances(queries: Tensor, keys: Tensor, squares: Tensor) -> Tensor:
    """Squared distances [n, m]."""
    distances = torch.addmm(squares[None], queries, keys.T, alpha=-2)
    return distances.add_(queries.square().sum(1, keepdim=True))


def _starts(counts: Tensor) -> Tensor:
    return counts.cumsum(0) - counts
