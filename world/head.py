"""The head itself: relief, skin, light, mouth and eyes put together."""

import math

import cv2
import numpy as np

from .canvas import Canvas, rgb
from .circumstance import Circumstance
from .eyes import paint_eye
from .fields import blur, bump, smooth
from .frame import Frame
from .identity import Identity
from .labels import LABEL
from .light import Lights, gloss, shade
from .mouth import paint_inside, shape_mouth
from .relief import carve
from .skin import albedo, beard_height, brow_cover


def paint_head(
    canvas: Canvas, person: Identity, now: Circumstance, frame: Frame, lights: Lights
) -> None:
    """Paint the bare face with its labels; bends the frame's u, v to the nose."""
    relief = carve(person, now, frame)
    mouth = shape_mouth(person, now, frame)
    extra = np.zeros_like(frame.u)
    extra[mouth.where] += mouth.height
    extra += beard_height(person, now, frame)
    dx = cv2.Sobel(extra, cv2.CV_32F, 1, 0, ksize=3, scale=frame.k / 8)
    dy = cv2.Sobel(extra, cv2.CV_32F, 0, 1, ksize=3, scale=frame.k / 8)
    nx, ny, nz = relief.nx - dx, relief.ny - dy, relief.nz
    norm = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    u, v = frame.u, frame.v
    shadow = (0.35 + 0.5 * now.light_hardness) * relief.shadow
    open_sky = 1.0 - 0.55 * relief.cavity
    tip = person.eye_height + person.nose_length + 0.105
    wing = person.nose_width
    under_nose = bump(u, v, 0, tip + 0.105, wing * 0.9, 0.042)
    under_lip = bump(u, v, 0, mouth.centre + 0.16 + 0.07 * now.mouth_open, 0.16, 0.04)
    open_sky *= 1.0 - 0.22 * under_nose - 0.22 * under_lip
    open_sky *= 1.0 - 0.30 * smooth(v, 0.86, 1.06)
    brows = [brow_cover(person, now, frame, side) for side in (-1.0, 1.0)]
    skin = albedo(person, now, frame, mouth, brows)
    colour = shade(lights, skin, nx, ny, nz, open_sky, 1.0 - shadow)
    au = np.abs(u)
    nostril = bump(au, v, wing * 0.50, tip + 0.075 - 0.1 * math.sin(now.pitch), wing * 0.27, 0.022)
    colour *= 1.0 - 0.72 * np.clip(nostril * 1.25, 0, 1) * rgb(0.82, 1.0, 1.0)
    crease = bump(au - 0.45 * (v - tip), v, wing * 1.02, tip + 0.03, 0.016, 0.055)
    colour *= 1.0 - 0.30 * crease * rgb(0.75, 1.0, 1.0)
    oil = 0.5 + 0.8 * bump(u, v, 0, tip - 0.03, 0.09, 0.10) + 0.35 * bump(u, v, 0, -0.6, 0.4, 0.25)
    shine = gloss(lights, nx, ny, nz, 22.0) * oil * (0.045 + 0.05 * person.melanin)
    lip_gloss = gloss(lights, nx[mouth.where], ny[mouth.where], nz[mouth.where], 34.0)
    shine[mouth.where] += (0.16 if now.lipstick != "none" else 0.07) * lip_gloss * mouth.lower
    colour += (shine * (1.0 - shadow)) * lights.key
    canvas.paint(frame.where, colour, frame.coverage(frame.edge), "skin")
    _label_features(canvas, person, frame, mouth, brows, tip)
    mean_light = lights.key * 0.55 + lights.sky * 0.7
    if now.mouth_open > 0:
        paint_inside(canvas, frame, mouth, mean_light)
    lit = blur(1.0 - shadow, 0.03 * frame.k)
    for side in (-1.0, 1.0):
        paint_eye(canvas, person, now, frame, lights, lit, side)


def nose_inside(person: Identity, u: np.ndarray, v: np.ndarray, tip: float) -> np.ndarray:
    """Signed distance (units) to the outline of the nose, positive inside."""
    top = person.eye_height - 0.06
    t = np.clip((v - top) * (1.0 / (tip + 0.04 - top)), 0, 1)
    half = 0.055 + (person.nose_width * 1.1 - 0.055) * t * t * (1.6 - 0.6 * t)
    base = tip + 0.115 - 0.9 * np.abs(u) ** 2 / person.nose_width * 0.35
    return np.minimum(half - np.abs(u), np.minimum(v - top, base - v))


def _label_features(canvas, person, frame: Frame, mouth, brows, tip) -> None:
    inside_head = canvas.labels[frame.where] == LABEL["skin"]
    labels = canvas.labels[frame.where]
    labels[(nose_inside(person, frame.u, frame.v, tip) > 0) & inside_head] = LABEL["nose"]
    for (where, solid, _), name in zip(brows, ("left_brow", "right_brow"), strict=True):
        labels[where][(solid > 0.5) & inside_head[where]] = LABEL[name]
    view = labels[mouth.where]
    head = inside_head[mouth.where]
    view[(mouth.upper > 0.5) & head] = LABEL["upper_lip"]
    view[(mouth.lower > 0.5) & head] = LABEL["lower_lip"]
