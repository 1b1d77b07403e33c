"""The trade-off between style and identity: runs, their Pareto front, and a dial along it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean

import numpy as np

_SETTING = re.compile(
    r"([^\s=,;][^=,;]*?)\s*=\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)(?=\s*(?:[,;]|$))"
)


@dataclass(frozen=True)
class Run:
    """The settings of a run and its two scores; higher is better for both."""

    label: str
    style: float
    identity: float
    settings: dict[str, float]


@dataclass(frozen=True)
class DialPoint:
    """Settings at a place of the dial (0 most style, 1 most identity), and the expected scores."""

    dial: float
    settings: dict[str, float]
    style: float
    identity: float


def make_run(label: str, style: float, identity: float) -> Run:
    """A run whose settings are the `name=number` parts of its label, separated by commas.

    Raises ValueError for an empty label and for a score that is not a number.
    """
    if not label.strip():
        raise ValueError("A run needs a label, such as denoise=0.5.")
    for name, value in (("style", style), ("identity", identity)):
        if not math.isfinite(value):
            raise ValueError(
                f"The {name} score of {label!r} is not a number: there was nothing to measure, "
                "such as no face in the picture. Leave this run out."
            )
    settings = {name: float(value) for name, value in _SETTING.findall(label)}
    return Run(label.strip(), float(style), float(identity), settings)


def add_run(runs: Sequence[Run], run: Run) -> list[Run]:
    """The runs with one added; a run with the same label is replaced in place."""
    if any(other.label == run.label for other in runs):
        return [run if other.label == run.label else other for other in runs]
    return [*runs, run]


def pareto_front(runs: Sequence[Run]) -> list[Run]:
    """The Pareto front: the runs that no other run beats in one score while it equals them in the
    other or beats them in both.

    The order is by falling style and rising identity; of equal runs only the first is kept.
    """
    front: list[Run] = []
    for run in sorted(runs, key=lambda run: (-run.style, -run.identity)):
        if not front or run.identity > front[-1].identity:
            front.append(run)
    return front


def as_csv(runs: Sequence[Run]) -> str:
    """A table with a line for each run and a column for each setting."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    front = pareto_front(runs)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "style", "identity", "on_front", *names])
    for run in runs:
        scores = [f"{run.style:.4f}", f"{run.identity:.4f}", int(run in front)]
        table.writerow([run.label, *scores, *(run.settings.get(name, "") for name in names)])
    return text.getvalue()


def from_csv(text: str) -> list[Run]:
    """The runs of a table that `as_csv` wrote, their settings read from their labels."""
    return [
        make_run(row["label"], float(row["style"]), float(row["identity"]))
        for row in csv.DictReader(io.StringIO(text))
    ]


def mean_runs(label: str, tables: Sequence[Sequence[str]]) -> list[Run]:
    """The runs of one combination of settings, each the mean over all items.

    `tables` holds what each item showed, as `as_csv` writes it; tables of chained nodes repeat each
    other's runs. A single run gets the combination's label; several runs get it before their own
    labels.
    """
    found: dict[str, list[Run]] = {}
    for item in tables:
        own = {run.label: run for table in item for run in from_csv(table)}
        for name, run in own.items():
            found.setdefault(name, []).append(run)
    return [
        make_run(
            label if label and len(found) == 1 else ", ".join(filter(None, (label, name))),
            mean(run.style for run in group),
            mean(run.identity for run in group),
        )
        for name, group in found.items()
    ]


def as_rows(runs: Sequence[Run]) -> list[dict]:
    """The runs as plain values, each with whether it is on the front."""
    front = pareto_front(runs)
    return [asdict(run) | {"on_front": run in front} for run in runs]


def as_json(runs: Sequence[Run]) -> str:
    """The runs and which of them are on the front, as `from_json` reads them."""
    return json.dumps({"runs": as_rows(runs)}, ensure_ascii=False, indent=2)


def from_json(text: str) -> list[Run]:
    """The runs of a curve. Raises ValueError, saying what is wrong, for another text."""
    advice = "It should be the JSON of the node Trade-off or of `visage tradeoff`."
    try:
        rows = json.loads(text)["runs"]
        return [
            Run(
                str(row["label"]),
                float(row["style"]),
                float(row["identity"]),
                {str(name): float(value) for name, value in row["settings"].items()},
            )
            for row in rows
        ]
    except json.JSONDecodeError as error:
        raise ValueError(f"The curve is not JSON: {error}. {advice}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"The curve lacks something: {error!r}. {advice}") from error


def fit_dial(runs: Sequence[Run]) -> list[DialPoint]:
    """The dial's table: the runs of the front, placed by how much identity they have won.

    Raises ValueError without runs that have settings, and where the front's runs have others.
    """
    front = pareto_front(runs)
    if not front or not front[0].settings:
        raise ValueError(
            "The curve has no settings to dial: its labels should be such as denoise=0.5, or "
            "denoise=0.5, weight=0.8."
        )
    names = set(front[0].settings)
    for run in front:
        if set(run.settings) != names:
            raise ValueError(
                f"The runs of the curve have different settings: {', '.join(sorted(names))} and "
                f"{', '.join(sorted(run.settings)) or 'none'} ({run.label!r}). Name the same ones "
                "in every label."
            )
    least, most = front[0].identity, front[-1].identity
    return [
        DialPoint(
            (run.identity - least) / (most - least) if len(front) > 1 else 0.0,
            run.settings,
            run.style,
            run.identity,
        )
        for run in front
    ]


def turn(points: Sequence[DialPoint], dial: float) -> DialPoint:
    """The settings at a place of the dial, interpolated linearly between the table's rows."""
    dial = min(max(dial, 0.0), 1.0)
    places = [point.dial for point in points]

    def between(values: Sequence[float]) -> float:
        return float(np.interp(dial, places, values))

    return DialPoint(
        dial,
        {name: between([p.settings[name] for p in points]) for name in points[0].settings},
        between([point.style for point in points]),
        between([point.identity for point in points]),
    )


def choose_settings(now: DialPoint, names: str) -> list[tuple[str, float]]:
    """The settings with these names, separated by commas, in this order; without any, all.

    Raises ValueError, naming those that there are, for an unknown name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(now.settings)
    unknown = [name for name in wanted if name not in now.settings]
    if unknown:
        raise ValueError(
            f"The curve has no setting {', '.join(map(repr, unknown))}; it has: "
            f"{', '.join(now.settings)}."
        )
    return [(name, now.settings[name]) for name in wanted]


def describe_dial(points: Sequence[DialPoint], now: DialPoint) -> str:
    """The table as text, with the dial's place marked."""
    names = list(points[0].settings)
    rows = [["dial", *names, "style", "identity"]]
    for point in sorted([*points, now], key=lambda point: point.dial):
        mark = "> " if point is now else ""
        settings = [f"{point.settings[name]:.3g}" for name in names]
        rows.append(
            [f"{mark}{point.dial:.2f}", *settings, f"{point.style:.3f}", f"{point.identity:.3f}"]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
