"""The figures and tables of DiffStyler's comparison, made from its measurements."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .style_transfer import gain_at_equal_style

Say = Callable[[str], None]

RESAMPLED = 2000


class Distance(NamedTuple):
    """Distance from the learned picture, and from its style at large."""

    learned: float
    at_large: float


class RegionPoint(NamedTuple):
    """Distances from the style inside a region, and the changes outside and on its edge."""

    through_autoencoder: Distance
    painted: Distance
    drawn: Distance
    outside: float
    edge_before: float
    edge_after: float


class Point(NamedTuple):
    """Distances of a whole picture from the style and from the content."""

    learned: float
    at_large: float
    content: float


def gains(points: dict[str, list[Point]]) -> dict[str, float]:
    """The gain in content at equal style of both injections, with 95 % intervals over the pairs."""
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


def region_figures(regions: dict[str, list[RegionPoint]]) -> dict[str, float]:
    figures = {}
    for part, found in regions.items():
        for when, distances in (
            ("before", [one.through_autoencoder for one in found]),
            ("after", [one.painted for one in found]),
        ):
            for name, value in zip(Distance._fields, np.mean(distances, axis=0), strict=True):
                figures[f"{part}_{name}_{when}"] = float(value)
    every = [one for found in regions.values() for one in found]
    figures["regions_outside_max_abs_diff"] = max(one.outside for one in every)
    return figures


def say_regions(part: str, found: Sequence[RegionPoint], say: Say) -> None:
    for number, name in enumerate(Distance._fields):
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


def say_points(points: dict[str, list[Point]], say: Say) -> None:
    for method, found in points.items():
        learned, at_large, lost = np.mean(found, axis=0)
        say(
            f"  {method:<28} style distance {learned:.3f}, at large {at_large:.3f}, content "
            f"distance {lost:.3f}"
        )
