"""Neck, shoulders, clothes and necklaces."""

import math

import cv2
import numpy as np

from .canvas import Canvas, linear, rgb
from .circumstance import WEAR_COLOURS, Circumstance
from .fields import bump, cloud, curve, grain, sample, smooth
from .frame import Frame
from .identity import Identity
from .light import CLOTH_WRAP, Lights, shade


def body_planes(now: Circumstance, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of every pixel in body coordinates: units of the head, upright, below the head."""
    roll = 0.75 * now.roll
    cr, sr = np.float32(np.cos(roll)), np.float32(np.sin(roll))
    y0 = np.float32(0.3)
    dy = frame.y - y0
    return frame.x * cr - dy * sr - np.float32(0.1 * math.sin(now.yaw)), frame.x * sr + dy * cr + y0


def _neck_half(person: Identity, y: np.ndarray) -> np.ndarray:
    base = (0.525 if person.male else 0.425) + 0.06 * person.chubby
    return curve(
        y, [0.3, 0.8, 1.15, 1.4, 1.62], [base, base * 0.97, base * 0.97, base * 1.12, base * 1.7]
    )


def _shoulder_half(person: Identity) -> float:
    return 2.05 if person.male else 1.78


def _flank(person: Identity, x: np.ndarray) -> np.ndarray:
    """Positive between the sides of the body, which hang straight down far below the head."""
    return _shoulder_half(person) + 0.3 - np.abs(x)


def _torso_top(person: Identity, x: np.ndarray) -> np.ndarray:
    wide = _shoulder_half(person)
    ax = np.abs(x)
    return curve(
        ax,
        [0.0, 0.46, 0.78, wide * 0.72, wide * 0.92, wide, wide + 0.1],
        [1.16, 1.26, 1.42, 1.62, 1.82, 2.25, 3.6],
    )


def _opening(now: Circumstance, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Positive where skin shows through the neckline (units)."""
    if now.clothes == "crew":
        return 1.0 - np.sqrt((x / 0.56) ** 2 + ((y - 1.28) / 0.33) ** 2)
    if now.clothes == "scoop":
        return 1.0 - np.sqrt((x / 0.74) ** 2 + ((y - 1.25) / 0.66) ** 2)
    if now.clothes == "v-neck":
        return np.minimum((2.02 - y) * 0.7 - np.abs(x), 0.62 - np.abs(x))
    if now.clothes == "collar":
        depth = 1.52 if now.necktie else 1.78
        return np.minimum((depth - y) * 0.9 - np.abs(x), 0.5 - np.abs(x))
    return 1.12 - y


def paint_body(
    canvas: Canvas, person: Identity, now: Circumstance, frame: Frame, lights: Lights
) -> None:
    """Paint neck and torso behind the head, with the shadow of the head on them."""
    x, y = body_planes(now, frame)
    rows = slice(int(np.argmax(y.max(1) > 0.3)), None)
    x, y = x[rows], y[rows]
    if not len(y):
        return
    where = (rows, slice(None))
    _paint_neck(canvas, person, now, frame, lights, where, x, y)
    _paint_clothes(canvas, person, now, frame, lights, where, x, y)


def _paint_neck(canvas, person, now, frame, lights, where, x, y):
    half = _neck_half(person, y)
    torso = np.minimum(y - _torso_top(person, x), _flank(person, x))
    inside = np.maximum(np.where(y > 0.3, half - np.abs(x), -1.0), torso)
    cover = frame.coverage(inside)
    t = np.clip(x / half, -0.98, 0.98)
    cords = 0.3 * (bump(np.abs(x), y, 0.20 - 0.10 * (y - 0.9), 1.15, 0.05, 0.35))
    nx = 0.85 * t + 0.25 * cords * np.sign(x)
    ny = -0.35 * smooth(y, 1.25, 1.7) + 0.1
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.05))
    skin = linear(person.skin_colour()) * rgb(0.95, 0.90, 0.88)
    under = smooth(y, 1.5, 0.85)
    d = lights.direction
    slide = x - (-d[0] * 0.25)
    shadow = 0.65 * smooth(y + 0.35 * slide * slide, 1.42 - 0.25 * d[1], 1.05 - 0.25 * d[1])
    collar = 0.5 * bump(x, y, 0, 1.38, 0.06, 0.07) - 0.22 * bump(
        np.abs(x), y, 0.3, 1.46 + 0.0, 0.24, 0.035
    )
    open_sky = 0.86 - 0.40 * under - 0.3 * np.abs(collar)
    colour = shade(lights, skin, nx, ny, nz, open_sky, (1.0 - shadow) * (1 - 0.3 * np.abs(collar)))
    canvas.paint(where, colour, cover, "neck")


def _paint_clothes(canvas, person, now, frame, lights, where, x, y):
    torso = y - _torso_top(person, x) + 0.03
    opening = _opening(now, x, y)
    inside = np.minimum(np.minimum(torso, _flank(person, x)), -opening * 0.5)
    if now.clothes == "turtleneck":
        half = _neck_half(person, y) + 0.05
        inside = np.maximum(inside, np.minimum(half - np.abs(x), y - 1.1))
    cover = frame.coverage(inside)
    folds = cloud(81, 1.9)
    seed = now.seed % 401
    bend = 26.0 * sample(folds, x * 40 + seed, y * 40)
    fold = sample(folds, x * 70 + bend * 0.4 + seed, y * 26 + bend + seed)
    drape = (
        np.sin((np.abs(x) * 1.3 - (y - 1.4) * 2.2) * 5.0)
        * smooth(y, 1.5, 2.0)
        * smooth(y, 4.5, 3.1)
    )
    height = 0.055 * fold + 0.012 * drape
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=frame.k / 8) - 0.42 * x
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=frame.k / 8) + 0.55 * smooth(
        torso, 0.6, 0.0
    )
    nz = 1.0 / np.sqrt(1 + dx * dx + dy * dy)
    colour = cloth_colour(now, frame, x, y)
    edge = smooth(-opening, 0.0, 0.16)
    band = (
        smooth(np.abs(-opening * 0.5 - 0.05), 0.012, 0.0)
        if now.clothes in ("crew", "scoop")
        else 0.0
    )
    head_shadow = 0.55 * bump(x + 0.3 * lights.direction[0], y, 0, 1.2, 0.75, 0.42)
    open_sky = (0.72 + 0.28 * edge) * (1.0 - 0.3 * band)
    lit = (1.0 - head_shadow) * (0.75 + 0.25 * edge)
    shaded = shade(lights, colour, -dx * nz, -dy * nz, nz, open_sky, lit, CLOTH_WRAP)
    canvas.paint(where, shaded, cover, "clothes")
    if now.clothes == "collar":
        _paint_collar(canvas, now, frame, lights, where, x, y)
    if now.necklace != "none" and now.clothes != "turtleneck":
        _paint_necklace(canvas, now, frame, lights, where, x, y)


def cloth_colour(now: Circumstance, frame: Frame, x, y) -> np.ndarray:
    """Linear colour [3, h, w] of the cloth: plain, striped or knitted."""
    main = linear(WEAR_COLOURS[now.clothes_colour])
    weave = 1.0 + 0.06 * sample(grain(82, 3.0), x * 190, y * 190)
    if now.clothes_pattern == "stripes":
        second = linear(WEAR_COLOURS[now.clothes_second])
        stripe = smooth(np.sin(y * 21.0 + 0.8 * x * x), -0.12, 0.12)
        return (main + stripe * (second - main)) * weave
    if now.clothes_pattern == "knit":
        rib = np.sin(x * 46.0) * (0.5 + 0.5 * np.sin(y * 60.0 + np.sign(np.sin(x * 46.0))))
        weave = weave * (1.0 + 0.16 * rib * min(1.0, frame.k / 80))
    return main * weave


def _paint_collar(canvas, now, frame, lights, where, x, y):
    ax = np.abs(x)
    flap = np.minimum(
        ax - (1.56 - y) * 0.55, np.minimum((1.86 - y) * 0.9 - (ax - 0.1) * 0.35, 0.62 - ax)
    )
    flap = np.minimum(flap, y - 1.16 - 0.2 * ax)
    light = linear(WEAR_COLOURS[now.clothes_colour]) * 1.08
    level = (lights.key * 0.62 + lights.sky * 0.8) * (1.0 - 0.35 * smooth(flap, 0.07, 0.0))
    if now.necktie:
        tie_half = np.where(y < 1.66, 0.10 + 0.02 * np.abs(y - 1.55), 0.085 + 0.10 * (y - 1.66))
        tie = frame.coverage(np.minimum(tie_half - ax, y - 1.47))
        knot = 1.0 - 0.5 * bump(x, y, 0, 1.68, 0.3, 0.02) - 1.6 * ax
        stripe = 0.85 + 0.3 * smooth(np.sin((x + y) * 26), -0.2, 0.2)
        tone = linear(WEAR_COLOURS[now.clothes_second]) * 0.9
        canvas.paint(
            where,
            tone * (knot * stripe) * (lights.key * 0.6 + lights.sky),
            tie,
            "clothes",
        )
    canvas.paint(where, light * level, frame.coverage(flap), "clothes")


def _paint_necklace(canvas, now, frame, lights, where, x, y):
    sag = 1.62 if now.necklace == "pendant" else 1.5
    line = sag - 0.9 * (x * x) * (1.0 + 0.6 * x * x)
    near = smooth(np.abs(x), 0.47, 0.43)
    distance = (y - line) / np.sqrt(1.0 + (1.8 * x) ** 2)
    metal = linear((214, 174, 92) if now.earring_gold else (200, 204, 210))
    light = lights.key * 0.6 + lights.sky * 0.8
    if now.necklace == "pearls":
        bead = np.abs(np.mod(x * (1 / 0.075) * (1 + 0.35 * x * x), 1.0) - 0.5) * 0.075
        r = np.sqrt(bead * bead + distance * distance)
        cover = frame.coverage(0.042 - np.maximum(r, np.abs(distance)))
        colour = linear((236, 228, 218)) * np.clip(1.1 - 16 * r, 0.45, 1.1)
    else:
        thick = 0.021 if now.necklace == "chain" else 0.016
        inside = thick - np.abs(distance)
        if now.necklace == "pendant":
            inside = np.maximum(inside, 0.065 - np.hypot(x, (y - sag - 0.07) * 0.8))
        cover = frame.coverage(inside)
        link = 0.85 + 0.35 * np.sin(x * 130.0)
        colour = metal * link
    canvas.paint(where, colour * light, cover * near, "necklace")
