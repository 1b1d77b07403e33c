"""Eyes: lids, sclera, iris, pupil, catch-light and lashes, painted over the shaded face."""

import math

import cv2
import numpy as np

from .canvas import Canvas, linear, rgb
from .circumstance import Circumstance
from .fields import bump, grain, sample, smooth
from .frame import Frame
from .identity import EYE_COLOURS, Identity
from .labels import LABEL
from .light import Lights


def paint_eye(
    canvas: Canvas,
    person: Identity,
    now: Circumstance,
    frame: Frame,
    lights: Lights,
    lit,
    side: float,
) -> None:
    """Paint one eye; side is -1 or 1 in u, `lit` [h, w] the key light on the head slice."""
    s, e, w = person.eye_spacing, person.eye_height, person.eye_width
    local = frame.region(side * s, e, w * 2.1)
    where = frame.in_picture(local)
    u, v = frame.u[local] * side, frame.v[local]
    label = "left_eye" if side < 0 else "right_eye"
    x = (u - s) * (1.0 / w)
    y = (v - e) * (1.0 / w) + person.eye_tilt * x * 1.3
    squint = 1.0 - 0.22 * max(now.smile, 0.0)
    opened = 1.0 - now.eyes_closed
    cx = np.clip(x, -1.0, 1.0)
    inner = np.maximum(1.0 - cx * cx, 0.0)
    arc = cv2.pow(inner, 0.62) * (1.0 + 0.10 * cx)
    up = -0.46 * person.eye_open * opened * (0.85 + 0.15 * squint) * arc
    low = 0.29 * squint * cv2.pow(inner, 0.75) * (1.0 - 0.06 * cx)
    if now.eyes_closed == 1.0:
        up = low - 0.015
    px = frame.k * w
    aperture = np.clip(np.minimum(y - up, low - y) * px + 0.5, 0, 1)
    aperture *= np.clip((1.0 - np.abs(x)) * px + 0.5, 0, 1)
    dark_skin = linear(person.skin_colour()) * rgb(0.32, 0.2, 0.19)
    lid = y - up
    crease_at = -0.20 * person.lid_crease - 0.06
    crease = cv2.exp(-np.minimum(((lid - crease_at * (0.6 + 0.6 * inner)) * 11) ** 2, 30))
    crease *= smooth(np.abs(x), 1.18, 0.7) * (0.55 * opened)
    canvas.paint(where, dark_skin, crease)
    lower_fold = cv2.exp(-np.minimum(((y - low - 0.13) * 9) ** 2, 30)) * smooth(np.abs(x), 1.1, 0.5)
    canvas.paint(where, dark_skin, 0.22 * lower_fold)
    _paint_ball(
        canvas, person, now, frame, lights, lit[local], where, x, y, up, aperture, side, label
    )
    lash_colour = linear((22, 16, 14))
    thick = (0.055 + 0.05 * now.makeup + (0.0 if person.male else 0.02)) * (
        0.65 + 0.5 * smooth(x, -0.9, 0.8)
    )
    wing = np.float32(x > 0.75) * now.makeup * 0.05
    comb = 0.008 * np.sin(x * 34.0) if frame.k > 90 else 0.0
    lash = smooth(np.abs(lid + 0.02 + wing) - thick - comb, 0.035, -0.02)
    lash *= smooth(np.abs(x - 0.05), 1.14, 0.96)
    canvas.paint(where, lash_colour, 0.88 * lash)
    if now.eyes_closed == 1.0:
        canvas.labels[where][(lash > 0.4)] = LABEL[label]
    rim = smooth(np.abs(y - low) - 0.02, 0.05, -0.01) * smooth(np.abs(x), 1.05, 0.8)
    canvas.paint(where, dark_skin * 0.6, (0.35 + 0.35 * now.makeup) * rim)


def _paint_ball(canvas, person, now, frame, lights, lit, where, x, y, up, aperture, side, label):
    if aperture.max() <= 0:
        return
    glance = -0.62 * math.sin(now.yaw) * side + now.gaze[0] * side
    gy = -0.5 * math.sin(now.pitch) + now.gaze[1] - 0.03
    dx, dy = x - glance, y - gy
    r = np.sqrt(dx * dx + dy * dy)
    radius = 0.43
    pixel = 1.0 / (frame.k * person.eye_width)
    light = np.clip(lights.sky * 1.0 + lights.key * (0.25 + 0.45 * lit.mean()), 0, 1.15)
    ball = np.clip(1.0 - 0.42 * x * x - 0.3 * y * y, 0.2, 1.0)
    shadow = 1.0 - 0.55 * smooth(y - up, 0.24, 0.0)
    lid_light = ball * shadow
    sclera = linear((226, 219, 214)) * (1 - 0.18 * bump(x, y, -0.95, 0.05, 0.25, 0.4))
    colour = sclera * rgb(1.0, 0.98, 0.97) * lid_light
    iris = np.clip((radius - r) * (1 / pixel) + 0.5, 0, 1)
    angle = np.arctan2(dy, dx)
    fibre = sample(grain(71, 6.0), angle * 40 + 200, r * 30 + person.seed % 61)
    base = linear(EYE_COLOURS[person.eye_colour])
    ring = smooth(r, 0.55 * radius, radius)
    glow = 1.0 + 0.28 * fibre - 0.62 * ring + 0.45 * bump(dx, dy, 0.0, 0.17, 0.3, 0.16)
    iris_colour = base * np.maximum(glow, 0.1) * shadow * 1.15
    colour += iris * (iris_colour - colour)
    pupil = np.clip((0.17 - r) * (1 / pixel) + 0.5, 0, 1)
    colour += pupil * (0.004 - colour)
    colour *= light
    hx, hy = 0.16 * lights.direction[0] - 0.02, 0.16 * min(lights.direction[1], 0.1) - 0.06
    spark = np.clip((0.095 - np.hypot(dx - hx * 1.2, dy - hy * 1.2)) * (1 / pixel) + 0.5, 0, 1)
    colour += (0.9 * spark) * (lights.key * 0.95 - colour)
    corner = 0.55 * bump(x, y, -1.0, 0.06, 0.13, 0.2)
    colour += corner * (linear((196, 120, 110)) * light * 0.8 - colour)
    canvas.paint(where, colour, aperture, label)
