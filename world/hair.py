"""Hair of the head: a silhouette, a hairline, a field of strands and their highlight."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import Canvas, linear, rgb
from .circumstance import HAIR_COLOURS, Circumstance
from .fields import blur, bump, cloud, curve, sample, shifted, smooth, strands
from .frame import POLE, Frame, lookup
from .identity import Identity
from .light import Lights

LONG = ("bob", "long", "wavy", "curly")
TIED = ("ponytail", "bun")


@dataclass
class Hair:
    """Full-picture slices: signed distances in units (positive inside)."""

    where: tuple[slice, slice]
    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    rho: np.ndarray
    outer: np.ndarray
    back: np.ndarray | None
    front: np.ndarray
    radius: np.ndarray


def _volume(now: Circumstance) -> tuple[float, float]:
    """(top, side) thickness of the hair outside the skull, in units."""
    v = now.hair_volume
    return {
        "bald": (0.0, 0.0),
        "buzz": (0.015, 0.01),
        "short": (0.07 + 0.07 * v, 0.03 + 0.04 * v),
        "swept": (0.11 + 0.14 * v, 0.04 + 0.07 * v),
        "messy": (0.12 + 0.14 * v, 0.05 + 0.09 * v),
        "receding": (0.03 + 0.05 * v, 0.03 + 0.04 * v),
        "bob": (0.10 + 0.10 * v, 0.14 + 0.16 * v),
        "long": (0.09 + 0.09 * v, 0.10 + 0.12 * v),
        "wavy": (0.11 + 0.11 * v, 0.16 + 0.18 * v),
        "curly": (0.16 + 0.16 * v, 0.22 + 0.22 * v),
        "afro": (0.30 + 0.35 * v, 0.32 + 0.36 * v),
        "ponytail": (0.05 + 0.05 * v, 0.02 + 0.03 * v),
        "bun": (0.05 + 0.05 * v, 0.02 + 0.03 * v),
    }[now.hair_style]


def _full(person: Identity, now: Circumstance) -> bool:
    """Whether the hair is short and full, over the upper ears."""
    return not person.male and now.hair_style in ("short", "swept")


def _length(now: Circumstance) -> float:
    """Where hanging hair ends, in head units below the pole."""
    n = now.hair_length
    return {
        "bob": 0.35 + 0.55 * n,
        "long": 1.3 + 1.2 * n,
        "wavy": 0.9 + 1.4 * n,
        "curly": 0.5 + 0.9 * n,
    }.get(now.hair_style, -1.0)


def grow(person: Identity, now: Circumstance, frame: Frame) -> Hair | None:
    """Shapes of the hair; None for a bald head."""
    if now.hair_style == "bald":
        return None
    where = _box(now, frame)
    x, y = frame.x[where], frame.y[where]
    rho, angle = cv2.cartToPolar(x, y - np.float32(POLE))
    radius = _skull(person, frame, angle)
    top, side = _volume(now)
    if _full(person, now):
        top, side = top + 0.06, side + 0.10 + 0.14 * now.hair_volume
    up = np.clip(-np.sin(angle), -1, 1)
    thick = side + (top - side) * cv2.pow(np.clip(up, 0, 1), 1.5)
    part = bump(angle, angle * 0, 1.5 * np.pi + now.hair_part, 0, 0.30, 1)
    if now.hair_style in ("bob", "long", "wavy", "ponytail", "bun", "short"):
        thick = thick - 0.035 * part
    if now.hair_style in ("swept", "short"):
        thick = (
            thick
            + 0.07
            * top
            / 0.15
            * np.cos(angle - (1.5 * np.pi - math.copysign(1.0, now.hair_part) * 0.6))
            * up
        )
    if now.hat != "none":
        thick = np.minimum(thick, 0.04 + 0.5 * smooth(y, -0.8, -0.1))
    noise = cloud(101, 1.15 if now.hair_style in ("curly", "afro", "messy") else 1.5)
    rough = {"curly": 0.05, "afro": 0.035, "messy": 0.055, "wavy": 0.022}.get(now.hair_style, 0.010)
    fuzz = sample(noise, x * 75 + now.seed % 307, y * 75)
    outer = radius + thick - rho + rough * fuzz
    crown = outer if now.hair_style in ("afro", "curly") else np.minimum(outer, (0.30 - y) * 1.0)
    back = None
    if now.hair_style in LONG:
        back = np.maximum(crown, _hanging(person, now, x, y, fuzz, side))
    elif now.hair_style == "afro":
        back = crown
    elif now.hair_style == "bun":
        back = np.maximum(crown, 0.34 - np.hypot(x, (y + 1.55) * 1.15) + 0.02 * fuzz)
    front = np.minimum(
        back if now.hair_style in LONG else crown, -_opening(person, now, frame, where, fuzz)
    )
    grown = Hair(where, x, y, angle, rho, crown, back, front, radius)
    return _trim(grown, int(0.25 * frame.k) + 4)


def _box(now: Circumstance, frame: Frame) -> tuple[slice, slice]:
    """Slice of the picture that holds the hair of this style."""
    w, k = frame.width, frame.k
    cx, cy = now.centre[0] * w, now.centre[1] * w
    wide = now.hair_style in LONG or now.hair_style == "afro"
    side, up = (1.85 if wide else 1.5) * k, (2.35 if wide or now.hair_style == "bun" else 2.1) * k
    down = (2.6 if now.hair_style in LONG else 1.9 if wide else 1.3) * k
    cols = slice(max(0, int(cx - side)), min(w, int(cx + side) + 1))
    rows = slice(max(0, int(cy - up)), min(w, int(cy + down) + 1))
    return rows, cols


def _trim(hair: Hair, margin: int) -> Hair:
    """The same hair with its planes cut down to where hair is, `margin` pixels around it."""
    grown = hair.front if hair.back is None else np.maximum(hair.front, hair.back)
    inside = grown > -0.05
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    if not len(columns):
        columns, rows = np.array([0]), np.array([0])
    r = slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin)
    c = slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin)
    top, left = hair.where[0].start, hair.where[1].start
    planes = {
        name: None if plane is None else np.ascontiguousarray(plane[r, c])
        for name, plane in vars(hair).items()
        if name != "where"
    }
    h, w = hair.x[r, c].shape
    where = (
        slice(top + r.start, top + r.start + h),
        slice(left + c.start, left + c.start + w),
    )
    return Hair(where, **planes)


def _skull(person: Identity, frame: Frame, angle: np.ndarray) -> np.ndarray:
    """Radius of the cranium around the pole: the outline above, an ellipse below the ears."""
    outline = lookup(frame.table, angle)
    w = person.face_width * 1.01
    below = 1.0 / np.sqrt((np.cos(angle) / w) ** 2 + (np.sin(angle) / 0.95) ** 2)
    down = smooth(np.sin(angle), -0.05, 0.35)
    return outline + (below - outline) * down


def _hanging(person, now, x, y, fuzz, side):
    end = _length(now)
    w = person.face_width + side
    flare = {"bob": 0.06, "long": 0.12, "wavy": 0.2, "curly": 0.24}[now.hair_style]
    half = curve(
        y,
        [-0.75, -0.35, 0.1, 0.7, end * 0.6 + 0.7, end + 0.7],
        [w * 0.72, w * 0.9, w, w + flare * 0.6, w + flare, w * 0.85],
    )
    if now.hair_style in ("wavy", "curly"):
        half = half + 0.045 * now.hair_wave * np.sin(y * 7.5 + now.seed % 7)
    tips = 0.10 * fuzz + 0.14 * np.abs(x)
    return np.minimum(np.minimum(half - np.abs(x), (end - y - tips) * 0.8), y + 0.7)


def _opening(person, now, frame, where, fuzz):
    """Positive on the bare face: inside the hairline (units, roughly)."""
    u, v = _surface(now, frame, where)
    au = np.abs(u)
    top = person.hairline
    if now.hair_style == "receding":
        top = top - 0.14 - 0.22 * person.receding
    wide = person.face_width * (0.83 if now.hair_style in LONG and now.ears_covered else 0.905)
    if now.hair_style in LONG and not now.ears_covered:
        wide = person.face_width * 0.88
    if _full(person, now):
        wide = person.face_width * 0.86
    centre = -0.05
    tall = centre - top
    lobes = (
        0.13 * person.receding * bump(au, v, 0.36, top + 0.02, 0.16, 0.25) if person.male else 0.0
    )
    if now.hair_style == "receding":
        lobes = lobes + 0.22 * bump(au, v, 0.40, top + 0.1, 0.2, 0.3)
    upper = cv2.pow(au / wide, 2.7) + cv2.pow((centre - np.minimum(v, centre)) / tall, 2.7)
    face = (1.0 - cv2.pow(upper, 1 / 2.7)) * 0.8 + lobes
    if now.hair_style in LONG:
        wave = 0.022 * np.sin(v * 8 + now.seed % 5) if now.hair_style in ("wavy", "curly") else 0.0
        drop = [wide, wide * 1.02, wide * 0.98, wide * 0.88, wide * 0.8]
        if not now.ears_covered:
            drop = [wide, wide + 0.10, wide + 0.2, wide + 0.05, wide * 0.9]
        side = curve(v, [centre, 0.2, 0.7, 1.3, 2.2], drop) - au + wave
    else:
        side = smooth(v, -0.1, 0.22) * (0.12 if _full(person, now) else 0.3) + wide - au
    face = np.where(v > centre, side, face)
    jag = 0.012 * fuzz
    if now.fringe:
        sweep = 0.16 * math.copysign(1.0, now.hair_part)
        low = -0.44 - 0.12 * (1 - now.fringe) + sweep * u + 0.10 * u * u
        comb = sample(strands(105, 8.0, 200.0), v * 30, u * 240 + 33)
        face = np.minimum(face, v - low - 0.03 * comb)
    elif now.hair_style in ("bob", "long", "wavy"):
        p = math.sin(now.hair_part)
        drape = 0.62 * np.sqrt(np.abs(u - p * 0.6) + 0.002) - 0.2
        curtain = v - (top - 0.1 + drape * 0.75)
        face = np.minimum(face, curtain * 0.8 + 0.06)
    elif now.hair_style in ("swept", "messy"):
        comb = sample(strands(105, 8.0, 200.0), v * 30 + 7, u * 110 + 5)
        jag = jag + 0.03 * comb * smooth(v, -0.4, -0.8)
    return face + jag


def _surface(now: Circumstance, frame: Frame, where):
    """u, v over the hair's slice: the head's planes, continued flat outside the head."""
    x, y = frame.x[where], frame.y[where]
    u = x * np.float32(math.cos(now.yaw))
    v = y * np.float32(math.cos(now.pitch))
    rows, cols = frame.where
    top, left = rows.start - where[0].start, cols.start - where[1].start
    h, w = frame.u.shape
    r0, c0 = max(top, 0), max(left, 0)
    r1, c1 = min(top + h, u.shape[0]), min(left + w, u.shape[1])
    u[r0:r1, c0:c1] = frame.u[r0 - top : r1 - top, c0 - left : c1 - left]
    v[r0:r1, c0:c1] = frame.v[r0 - top : r1 - top, c0 - left : c1 - left]
    return u, v


def _flow(now: Circumstance, hair: Hair) -> tuple[np.ndarray, np.ndarray]:
    """(across, along) coordinates of the strands in units."""
    x, y = hair.x, hair.y
    shell = hair.rho / np.maximum(hair.radius, 0.1)
    start = np.float32(1.5 * np.pi + now.hair_part)
    turn = hair.angle - start
    turn = np.where(turn < -np.pi, turn + 2 * np.pi, np.where(turn > np.pi, turn - 2 * np.pi, turn))
    style = now.hair_style
    if style in ("bob", "long", "wavy", "curly"):
        fall = smooth(y, -0.75, 0.1)
        across = shell * 0.8 * (1 - fall) + fall * np.abs(x) + 0.12 * np.abs(turn) * (1 - fall)
        across = across * np.sign(turn + 1e-3) + 2.0 * np.sign(turn)
        along = np.abs(turn) * 0.8 * (1 - fall) + y * fall
    elif style in ("swept", "short", "receding"):
        lean = 0.9 * math.copysign(1.0, now.hair_part)
        across = turn * 0.9 + lean * (shell - 0.8) * 0.9
        along = shell + 0.2 * np.abs(turn)
    elif style in TIED:
        across = x / (0.6 + 0.5 * np.clip(-y, 0, 2.0)) * 0.9
        along = y
    else:
        across, along = turn * 0.8, shell
    return across.astype(np.float32), along.astype(np.float32)


def _strand_planes(now: Circumstance, frame: Frame, hair: Hair):
    """(tone noise, fine noise) of the strands."""
    across, along = _flow(now, hair)
    seed = now.seed % 401
    if now.hair_style == "wavy":
        across = across + 0.035 * now.hair_wave * np.sin(along * 9.0 + 3 * np.sin(across * 4.0))
    if now.hair_style in ("curly", "afro"):
        tight = now.hair_style == "afro"
        size = 170.0 if tight else 90.0
        warp = sample(cloud(103, 1.75), hair.x * size + seed, hair.y * size)
        other = sample(cloud(103, 1.75), hair.x * size + 211, hair.y * size + seed)
        curl = 34.0 if tight else 21.0
        across = across + 0.045 * np.sin(along * curl + 3.0 * warp) + 0.09 * other
        along = along + 0.05 * np.sin(across * curl + 3.0 * other) + 0.06 * warp
    if now.hair_style == "messy":
        warp = cloud(104, 1.5)
        across = across + 0.16 * sample(warp, hair.x * 50 + seed, hair.y * 50)
    wide = sample(strands(111, 8.0, 220.0), along * 75 + seed, across * 290)
    fine = sample(strands(112, 2.6, 160.0), along * 85, across * min(330.0, frame.k * 2.6) + seed)
    return wide, fine


def shaded_hair(now: Circumstance, frame: Frame, hair: Hair, lights: Lights) -> np.ndarray:
    """Linear colour [3, h, w] of the hair with its light."""
    wide, fine = _strand_planes(now, frame, hair)
    curly = now.hair_style in ("curly", "afro")
    lump = (0.030 if curly else 0.020) * wide + 0.008 * fine
    t = np.clip(hair.rho / np.maximum(hair.radius * 1.15, 0.1), 0, 1)
    dome = np.sqrt(np.maximum(1.0 - t * t * 0.9, 0.0))
    dx = cv2.Sobel(lump, cv2.CV_32F, 1, 0, ksize=3, scale=frame.k / 10)
    dy = cv2.Sobel(lump, cv2.CV_32F, 0, 1, ksize=3, scale=frame.k / 10)
    d = lights.direction
    nx = t * np.cos(hair.angle) * 0.9 - dx
    ny = t * np.sin(hair.angle) * 0.9 - dy
    norm = 1.0 / np.sqrt(nx * nx + ny * ny + dome * dome + 0.05)
    lambert = (nx * d[0] + ny * d[1] + dome * d[2]) * norm
    level = np.clip((lambert + 0.4) * (1 / 1.4), 0, 1)
    band = bump(hair.rho, hair.y, 0.86, 0, 0.16, 99) * smooth(hair.y, 0.15, -0.5)
    band += 0.5 * bump(hair.y, hair.x, 0.35, 0, 0.22, 99) * smooth(hair.y, -0.4, 0.2)
    shine = np.clip(band * (0.55 + 0.5 * fine) * (lambert + 0.15), 0, 1)
    if now.hair_style in ("curly", "afro", "messy", "buzz"):
        shine = shine * 0.35 + 0.1 * np.clip(lump * 9, 0, 1)
    base = linear(HAIR_COLOURS[now.hair_colour])
    tone = np.clip(1.0 + 0.13 * wide + 0.15 * fine, 0.35, 1.8)
    colour = level * lights.key
    colour += (0.80 - 0.25 * ny * norm) * lights.sky
    colour *= base * tone
    gloss_colour = (0.25 * base + 0.05 + 0.35 * np.sqrt(base) * base) * lights.key
    colour += shine * gloss_colour
    rim = np.clip(1 - hair.outer * 9, 0, 1) * np.clip(nx * norm * lights.rim_side, 0, 1)
    colour += rim * (lights.rim * (0.25 * np.sqrt(base) + 0.1))
    return colour


def paint_back(canvas: Canvas, now: Circumstance, frame: Frame, hair: Hair, colour) -> None:
    """Paint the hair behind the neck and ears."""
    if hair.back is None:
        return
    darker = 1.0 - 0.55 * smooth(hair.y, -0.4, 0.5) * smooth(np.abs(hair.x), 0.85, 0.5)
    cover = frame.coverage(hair.back, 1.6)
    canvas.paint(hair.where, colour * darker, cover, "hair")


def paint_front(
    canvas: Canvas, now: Circumstance, frame: Frame, hair: Hair, colour, lights: Lights
) -> None:
    """Paint the hair on the head, over brow and shoulders, and its shadow on them."""
    soft = 3.5 if now.hair_style in ("buzz", "receding") else 2.0
    cover = frame.coverage(hair.front, soft)
    if now.hair_style == "buzz":
        cover = np.minimum(cover, smooth(hair.front, -0.025, 0.05)) * 0.88
    d = lights.direction
    reach = 0.055 * frame.k
    shadow = shifted(cover, -d[0] * reach, -d[1] * reach + 0.3 * reach)
    shadow = blur(shadow, 0.035 * frame.k)
    canvas.darken(
        hair.where,
        0.5 * np.clip(shadow - cover, 0, 1) * smooth(hair.outer, -0.02, 0.06),
        rgb(0.85, 1, 1),
    )
    root = 0.35 * smooth(hair.front, 0.10, 0.0) if now.hair_style != "buzz" else 0.0
    canvas.paint(hair.where, colour * (1.0 - root * smooth(hair.y, 0.4, -0.2)), cover, "hair")
