"""The style-identity curve as a picture, drawn with Pillow, which every ComfyUI has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .tradeoff import Run, pareto_front

WIDTH, HEIGHT = 960, 640
# Drawn this much larger and shrunk: Pillow's lines have hard edges.
_FINER = 2
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 70, 40, 80
_PAPER, _INK, _GRID = (250, 250, 252), (40, 40, 48), (222, 222, 228)
_FRONT, _BEATEN = (214, 84, 60), (150, 150, 160)
_TEXT = 17


def draw_tradeoff(runs: Sequence[Run]) -> Tensor:
    """A picture [640, 960, 3] in 0..1: style to the right, identity upwards, the front in colour.

    Raises ValueError without runs.
    """
    if not runs:
        raise ValueError("There are no runs to draw.")
    canvas = _Canvas([run.style for run in runs], [run.identity for run in runs])
    canvas.axes()
    front = pareto_front(runs)
    canvas.line([(run.style, run.identity) for run in front], _FRONT)
    for run in runs:
        colour = _FRONT if run in front else _BEATEN
        canvas.point(run.style, run.identity, run.label, colour)
    small = canvas.image.resize((WIDTH, HEIGHT), Image.LANCZOS)
    return torch.from_numpy(np.asarray(small).astype(np.float32) / 255)


def nice_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover a range, at most so many."""
    power = 10.0 ** math.floor(math.log10(max(high - low, 1e-3) / most))
    for step in (factor * power for factor in (1, 2, 5, 10, 20)):
        # 0.14 / 0.005 is a little more than 28.
        first, last = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))
        if last - first < most:
            break
    return [round(step * k, 10) for k in range(first, max(last, first + 1) + 1)]


class _Canvas:
    """A plot's picture and its scales."""

    def __init__(self, across: Sequence[float], up: Sequence[float]) -> None:
        self.x_ticks = nice_ticks(min(across), max(across))
        self.y_ticks = nice_ticks(min(up), max(up))
        self.image = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(_TEXT * _FINER)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of scores lies, in pixels of the canvas."""
        (left, right), (low, high) = (
            self.x_ticks[:: len(self.x_ticks) - 1],
            self.y_ticks[:: len(self.y_ticks) - 1],
        )
        across = _LEFT + (x - left) / (right - left) * (WIDTH - _LEFT - _RIGHT)
        down = _TOP + (high - y) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return across * _FINER, down * _FINER

    def text(self, place: tuple[float, float], words: str, anchor: str, colour=_INK) -> None:
        self.draw.text(place, words, fill=colour, font=self.font, anchor=anchor)

    def axes(self) -> None:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        left, right = self.x_ticks[0], self.x_ticks[-1]
        gap = 10 * _FINER
        for x in self.x_ticks:
            bottom, top = self.place(x, low), self.place(x, high)
            self.draw.line([bottom, top], fill=_GRID, width=_FINER)
            self.text((bottom[0], bottom[1] + gap), f"{x:g}", "mt")
        for y in self.y_ticks:
            start, end = self.place(left, y), self.place(right, y)
            self.draw.line([start, end], fill=_GRID, width=_FINER)
            self.text((start[0] - gap, start[1]), f"{y:g}", "rm")
        middle = (_LEFT + WIDTH - _RIGHT) / 2 * _FINER
        self.text((middle, (HEIGHT - 20) * _FINER), "style: to the right is more of it", "mm")
        words = "identity: upwards is more of the person"
        self.text((gap, gap), words, "lt")

    def line(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        if len(points) > 1:
            self.draw.line([self.place(*point) for point in points], colour, 2 * _FINER)

    def point(self, x: float, y: float, words: str, colour: tuple[int, int, int]) -> None:
        across, down = self.place(x, y)
        radius = 6 * _FINER
        self.draw.ellipse((across - radius, down - radius, across + radius, down + radius), colour)
        # Words go to the side that has room.
        fits = across + 2 * radius + self.draw.textlength(words, self.font) < self.image.width
        side, anchor = (2 * radius, "ls") if fits else (-2 * radius, "rs")
        self.text((across + side, down - radius), words, anchor, colour)
