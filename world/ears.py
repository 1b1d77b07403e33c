"""Ears and earrings."""

import math

import cv2
import numpy as np

from .canvas import Canvas, linear, rgb
from .circumstance import Circumstance
from .fields import bump, smooth
from .frame import Frame
from .identity import Identity
from .light import Lights, gloss, shade


def _ear_centre(person: Identity, now: Circumstance, side: float) -> tuple[float, float]:
    x = side * (person.face_width - 0.005 + 0.045 * person.ear_out) * math.cos(now.yaw)
    x += 0.12 * math.sin(now.yaw) * -1.0
    return float(x), float(0.02 - 0.2 * math.sin(now.pitch))


def visible(now: Circumstance, side: float) -> bool:
    """Whether an ear is visible; the far one is hidden when the head is turned."""
    return side * math.sin(now.yaw) < 0.27


def paint_ear(
    canvas: Canvas, person: Identity, now: Circumstance, frame: Frame, lights: Lights, side
) -> None:
    """Paint one ear behind the head; side is -1 or 1 on screen."""
    if not visible(now, side):
        return
    cx, cy = _ear_centre(person, now, side)
    local = frame.around(cx, cy, 0.45)
    x, y = (frame.head_x[local] - cx) * side, frame.head_y[local] - cy
    size = 0.29 * person.ear_size
    lean = x - 0.10 * (-y)
    wide = 0.13 * person.ear_size * (1.0 - 0.32 * smooth(y, -0.05, size))
    reach = np.sqrt((lean / wide) ** 2 + (y / size) ** 2)
    cover = frame.coverage((1.0 - reach) * 0.13)
    if cover.max() <= 0:
        return
    rim = bump(reach, y * 0, 0.86, 0, 0.16, 1)
    bowl = bump(lean, y, -0.02, 0.0, 0.065, 0.12)
    height = 0.05 * rim - 0.07 * bowl + 0.03 * bump(lean, y, -0.03, -0.1, 0.05, 0.05)
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=frame.k / 8) - 0.35 * side
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=frame.k / 8)
    nz = 1.0 / np.sqrt(1 + dx * dx + dy * dy)
    skin = linear(person.skin_colour()) * rgb(1.0, 0.80, 0.78)
    open_sky = 1.0 - 0.6 * bowl - 0.35 * smooth(x, 0.02, -0.12)
    colour = shade(lights, skin, -dx * nz, -dy * nz, nz, open_sky, 1.0 - 0.6 * bowl)
    label = "left_ear" if side < 0 else "right_ear"
    canvas.paint(frame.in_picture(local), colour, cover, label)


def paint_earring(
    canvas: Canvas, person, now: Circumstance, frame: Frame, lights: Lights, side
) -> None:
    """Paint a stud, hoop or drop on one lobe."""
    if now.earrings == "none" or not visible(now, side):
        return
    cx, cy = _ear_centre(person, now, side)
    local = frame.around(cx, cy + 0.35 * person.ear_size, 0.4)
    x = (frame.head_x[local] - cx - 0.01 * side) * side
    y = frame.head_y[local] - cy - 0.235 * person.ear_size
    metal = linear((212, 170, 84) if now.earring_gold else (196, 200, 208))
    if now.earrings == "stud":
        cover = frame.coverage(0.05 - np.sqrt(x * x + y * y))
        shine = 1.0 - 5.0 * np.sqrt((x + 0.012) ** 2 + (y + 0.015) ** 2)
    elif now.earrings == "hoop":
        r = np.sqrt(x * x + (y - 0.14) ** 2)
        cover = frame.coverage(0.024 - np.abs(r - 0.135))
        shine = 0.75 + 0.5 * np.sin(np.arctan2(y - 0.14, x) * 2.0)
    else:
        stem = np.minimum(0.014 - np.abs(x), np.minimum(y + 0.02, 0.2 - y))
        gem = 0.055 - np.sqrt(x * x + ((y - 0.2) * 0.7) ** 2)
        cover = frame.coverage(np.maximum(stem, gem))
        shine = 1.15 - 7.0 * np.sqrt((x + 0.015) ** 2 + (y - 0.17) ** 2)
        if not now.earring_gold:
            metal = linear(((60, 110, 170), (40, 140, 90), (170, 40, 30))[now.seed % 3])
    sparkle = gloss(lights, x * 8, y * 8, np.full_like(x, 0.8), 8.0)
    colour = metal * (np.clip(shine, 0.3, 1.3) * (lights.key * 0.6 + lights.sky * 0.6))
    canvas.paint(frame.in_picture(local), colour + 0.3 * sparkle, cover, "earring")
