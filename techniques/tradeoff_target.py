"""The setting with the most style that still reaches an identity score, or the reverse.

Both scores are assumed to be monotone in the setting. The two ends are run first. Then the bracket
is divided where a monotone cubic through all runs (Fritsch and Carlson, 1980) meets the target plus
half the tolerance, or in the middle if the same end moved twice in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .tradeoff import Run

SCORES = ("identity", "style")
TOLERANCE = 0.02
MOST_RUNS = 8
STEP = 0.05
"""A next value lies at least this fraction of the bracket from either end."""
PLACES = 1001


@dataclass(frozen=True)
class Target:
    """The score that a run must have at least, and how far above it may be."""

    score: str
    value: float
    tolerance: float = TOLERANCE

    def of(self, run: Run) -> float:
        """How far a run's score is above the target."""
        return float(getattr(run, self.score)) - self.value


@dataclass(frozen=True)
class Found:
    """The best run that keeps the target (None where no value does), all runs, and what is said."""

    best: Run | None
    runs: list[Run]
    met: bool
    said: str

    def as_dict(self, target: Target) -> dict:
        """As plain values, for JSON."""
        error = None if self.best is None else target.of(self.best)
        return {
            "score": target.score,
            "value": target.value,
            "met": self.met,
            "runs": len(self.runs),
            "error": error,
            "settings": None if self.best is None else self.best.settings,
        }


def read_target(text: str) -> Target:
    """Read `identity=0.6`. Raises ValueError for another form."""
    name, _, value = text.partition("=")
    try:
        if name.strip() in SCORES:
            return Target(name.strip(), float(value))
    except ValueError:
        pass
    raise ValueError(f'"{text}" is no target: write identity=0.6 or style=0.4')


def find_target(
    measure: Callable[[float], Run],
    low: float,
    high: float,
    target: Target,
    most_runs: int = MOST_RUNS,
) -> Found:
    """Search low..high for the value whose score is least above the target.

    measure(value) runs one value. An end that already answers the question ends the search. Raises
    ValueError for an empty range and for fewer than two runs.
    """
    if not low < high or most_runs < 2:
        raise ValueError(f"There is nothing to search between {low:g} and {high:g}.")
    tried = [(value, measure(value)) for value in (low, high)]
    keeps, loses = sorted(tried, key=lambda one: target.of(one[1]), reverse=True)
    if target.of(keeps[1]) < 0:
        return _answer(None, tried, target, f"no value reaches it: the best is {keeps[1].label}")
    if target.of(loses[1]) >= 0:
        return _answer(loses[1], tried, target, "every value keeps it, so the whole range is free")
    moved: list[bool] = []
    while target.of(keeps[1]) > target.tolerance and len(tried) < most_runs:
        stuck = len(moved) > 1 and moved[-1] == moved[-2]
        value = (keeps[0] + loses[0]) / 2 if stuck else _on_curve(tried, keeps, loses, target)
        tried.append((value, measure(value)))
        moved.append(target.of(tried[-1][1]) >= 0)
        if moved[-1]:
            keeps = tried[-1]
        else:
            loses = tried[-1]
    return _answer(keeps[1], tried, target, "")


def _on_curve(
    tried: list[tuple[float, Run]],
    keeps: tuple[float, Run],
    loses: tuple[float, Run],
    target: Target,
) -> float:
    """Where the curve through all runs meets the target and half the tolerance."""
    ordered = sorted(tried, key=lambda one: one[0])
    curve = PchipInterpolator([value for value, _ in ordered], [target.of(r) for _, r in ordered])
    parts = np.linspace(STEP, 1 - STEP, PLACES)
    values = keeps[0] + parts * (loses[0] - keeps[0])
    return float(values[np.abs(curve(values) - target.tolerance / 2).argmin()])


def _answer(best: Run | None, tried: list[tuple[float, Run]], target: Target, why: str) -> Found:
    runs = [run for _, run in tried]
    wanted = f"{target.score} {target.value:g} in {len(runs)} runs"
    if best is None:
        return Found(None, runs, False, f"{wanted}: {why}")
    error = target.of(best)
    met = bool(why) or error <= target.tolerance
    scores = f"{best.label} gives identity {best.identity:.3f} and style {best.style:.3f}"
    missed = "" if met else f", more than {target.tolerance:g}"
    tail = f"; {why}" if why else ""
    return Found(best, runs, met, f"{wanted}: {scores}, {error:.3f} above it{missed}{tail}")
