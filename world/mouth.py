"""Lips, teeth and the dark between them, as curves over u at the mouth's height."""

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import linear, rgb
from .circumstance import LIPSTICKS, Circumstance
from .fields import bump, smooth
from .frame import Frame
from .identity import Identity


@dataclass
class Mouth:
    """Coverages [h, w] over the slice `where` of the head planes."""

    where: tuple[slice, slice]
    upper: np.ndarray
    lower: np.ndarray
    inside: np.ndarray
    teeth: np.ndarray
    seam: np.ndarray
    height: np.ndarray
    width: float
    centre: float


def shape_mouth(person: Identity, now: Circumstance, frame: Frame) -> Mouth:
    """The mouth's parts for this expression."""
    smile = now.smile
    width = person.mouth_width * (1 + 0.26 * max(smile, 0) - 0.10 * now.mouth_open * (smile < 0.3))
    centre = person.mouth_height - 0.02 * max(smile, 0)
    where = frame.region(0.0, centre + 0.03, width + 0.2)
    u, v = frame.u[where], frame.v[where]
    x = u * (1.0 / width)
    ax = np.minimum(np.abs(x), 1.0)
    inner = np.sqrt(np.maximum(1.0 - ax * ax, 0.0))
    taper = 1.0 - cv2.pow(ax, 3.0)
    corner = (0.07 * (smile + 0.14)) * (ax * ax - 0.35)
    line = centre - corner
    gap = now.mouth_open * (0.12 if smile > 0.3 else 0.135)
    rise, drop = 0.42 * gap, 0.58 * gap
    slim = 1.0 - 0.18 * max(smile, 0)
    bow = 1.0 + person.lip_bow * (
        0.34 * bump(ax, ax * 0, 0.27, 0, 0.16, 1) - 0.28 * bump(x, x * 0, 0, 0, 0.13, 1)
    )
    seam_wave = 0.012 * bump(x, x * 0, 0, 0, 0.3, 1)
    top_edge = line + seam_wave - rise * inner
    bottom_edge = line + seam_wave + drop * inner
    top = top_edge - person.upper_lip * slim * bow * taper
    bottom = bottom_edge + person.lower_lip * slim * (0.25 * taper + 0.75 * inner * taper)
    within = frame.coverage(1.0 - np.abs(x), 1.5 / width)
    upper = np.minimum(frame.coverage(v - top), frame.coverage(top_edge - v)) * within
    lower = np.minimum(frame.coverage(v - bottom_edge), frame.coverage(bottom - v)) * within
    inside = np.minimum(frame.coverage(v - top_edge), frame.coverage(bottom_edge - v)) * within
    inside *= np.float32(gap > 0.004)
    teeth = np.zeros_like(u)
    if now.teeth:
        edge = top_edge + np.minimum(0.088 * inner + 0.004, gap * 0.86)
        teeth = frame.coverage(edge - v) * inside
        tooth = np.abs(np.mod(u * (1 / 0.052) + 0.5, 1.0) - 0.5)
        teeth *= 1.0 - 0.16 * smooth(tooth, 0.42, 0.5) * min(1.0, frame.k / 90)
    seam = cv2.exp(-np.minimum(((v - line - seam_wave) * (1 / 0.0125)) ** 2, 30)) * within
    seam *= 0.0 if gap > 0.004 else 0.85
    mid_up, mid_low = 0.5 * (top + top_edge), 0.5 * (bottom + bottom_edge)
    roll = upper * (0.5 + 0.5 * smooth(v, mid_up - 0.03, mid_up + 0.03))
    height = 0.028 * roll * taper + 0.05 * lower * cv2.exp(
        -np.minimum(((v - mid_low) * (2.2 / person.lower_lip)) ** 2, 60)
    )
    return Mouth(where, upper, lower, inside, teeth, seam, height, width, centre)


def lip_colour(person: Identity, now: Circumstance, skin: np.ndarray) -> np.ndarray:
    """Linear lip colour [3, 1, 1]: redder and darker than the skin, or the lipstick over it."""
    bare = skin * rgb(0.80, 0.45, 0.46)
    if person.melanin > 0.6:
        bare = skin * rgb(0.92, 0.62, 0.66)
    if now.lipstick == "none":
        return bare
    return 0.2 * bare + 0.8 * linear(LIPSTICKS[now.lipstick])


def paint_inside(canvas, frame: Frame, mouth: Mouth, light: np.ndarray) -> None:
    """Dark cavity, tongue and teeth; `light` [3, 1, 1] is the light that reaches the mouth."""
    where = frame.in_picture(mouth.where)
    u, v = frame.u[mouth.where], frame.v[mouth.where]
    depth = smooth(v, mouth.centre - 0.05, mouth.centre + 0.10)
    dark = linear((58, 20, 20)) * (0.35 + 0.9 * depth) * light
    canvas.paint(where, dark, mouth.inside, "mouth")
    side = 1.0 - 0.55 * np.minimum(np.abs(u) / mouth.width, 1.0) ** 2
    fade = side * (1.0 - 0.25 * smooth(v, mouth.centre, mouth.centre - 0.06))
    white = linear((238, 230, 218)) * fade * (0.42 + 0.62 * light)
    canvas.paint(where, white, mouth.teeth)
