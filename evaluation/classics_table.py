"""The figures on people as a table and as a curve of identity over style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from .classics import Row, interval

_COLOURS = ((200, 80, 30), (40, 110, 190), (60, 150, 70), (140, 80, 160))
_SIDE, _MARGIN = 560, 64


def write_table(rows: Mapping[str, Mapping[str, Row]], path: Path) -> None:
    """Write one line for each way of each method, with 95 % intervals."""
    lines = [
        "| method | way | pictures | style gained | identity kept | dlib distance |",
        "|---|---|---|---|---|---|",
    ]
    for method, ways in rows.items():
        for way, row in ways.items():
            cells = [_cell(values) for values in (row.style, row.identity, row.distance)]
            lines.append(f"| {method} | {way} | {len(row.style)} | {' | '.join(cells)} |")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(values: list[float]) -> str:
    mean, low, high = interval(values)
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def draw_curves(rows: Mapping[str, Mapping[str, Row]]) -> np.ndarray:
    """Plot identity over style as uint8 RGB, with a colour for each method.

    Ways that do not keep the person are joined by a line; those that do are rings."""
    canvas = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    points = {
        method: {way: (np.mean(row.style), np.mean(row.identity)) for way, row in ways.items()}
        for method, ways in rows.items()
    }
    every = np.array([point for ways in points.values() for point in ways.values()])
    low, high = every.min(0) - 0.05, every.max(0) + 0.05

    def place(point) -> tuple[int, int]:
        ratio = (np.asarray(point) - low) / (high - low)
        span = _SIDE - 2 * _MARGIN
        return round(_MARGIN + ratio[0] * span), round(_SIDE - _MARGIN - ratio[1] * span)

    _axes(canvas, low, high, place)
    for number, (method, ways) in enumerate(points.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = sorted(place(point) for way, point in ways.items() if not way.startswith("kept"))
        cv2.polylines(canvas, [np.array(line, np.int32)], False, colour, 2, cv2.LINE_AA)
        for way, point in ways.items():
            thickness = 2 if way.startswith("kept") else cv2.FILLED
            cv2.circle(canvas, place(point), 6, colour, thickness, cv2.LINE_AA)
        _text(canvas, method, (_SIDE - 150, 24 + 20 * number), colour)
    return canvas


def _axes(canvas: np.ndarray, low: np.ndarray, high: np.ndarray, place) -> None:
    grey = (215, 215, 215)
    for value in np.arange(np.ceil(low[0] * 5) / 5, high[0], 0.2):
        x = place((value, low[1]))[0]
        cv2.line(canvas, (x, _MARGIN), (x, _SIDE - _MARGIN), grey, 1)
        _text(canvas, f"{value:.1f}", (x - 10, _SIDE - _MARGIN + 18))
    for value in np.arange(np.ceil(low[1] * 5) / 5, high[1], 0.2):
        y = place((low[0], value))[1]
        cv2.line(canvas, (_MARGIN, y), (_SIDE - _MARGIN, y), grey, 1)
        _text(canvas, f"{value:.1f}", (_MARGIN - 36, y + 4))
    _text(canvas, "style gained", (_SIDE // 2 - 50, _SIDE - 18))
    _text(canvas, "identity kept", (8, _MARGIN - 12))


def _text(canvas: np.ndarray, text: str, place: tuple[int, int], colour=(60, 60, 60)) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
