"""Glasses and hats."""

import math

import cv2
import numpy as np

from .canvas import Canvas, linear, rgb
from .circumstance import WEAR_COLOURS, Circumstance
from .fields import blur, bump, grain, sample, shifted, smooth
from .frame import POLE, Frame, lookup
from .identity import Identity
from .labels import LABEL
from .light import CLOTH_WRAP, Lights, shade


def paint_glasses(
    canvas: Canvas, person: Identity, now: Circumstance, frame: Frame, lights: Lights
) -> None:
    """Frames, lenses and side arms. Skin behind a lens is labelled glasses; eyes and brows stay."""
    if now.glasses == "none":
        return
    sun = now.glasses == "sunglasses"
    u, v = frame.u, frame.v
    s, e = person.eye_spacing, person.eye_height
    round_ = now.glasses_shape == "round"
    half_w, half_h = (0.215, 0.205) if round_ else (0.25, 0.165)
    if sun:
        half_w, half_h = half_w * 1.1, half_h * 1.18
    power = 2.0 if round_ else 3.6
    x, y = (np.abs(u) - s - 0.012) / half_w, (v - e - 0.02) / half_h
    if now.glasses_shape == "wayfarer":
        x = x * (1.0 + 0.12 * y)
    reach = cv2.pow(cv2.pow(np.abs(x), power) + cv2.pow(np.abs(y), power), 1.0 / power)
    distance = (1.0 - reach) * min(half_w, half_h)
    thick = 0.016 if round_ else 0.024
    thick = max(thick + 0.008 * sun, 1.1 / frame.k)
    ring = thick - np.abs(distance)
    bridge = np.minimum(thick * 0.9 - np.abs(v - (e - 0.03) - 0.5 * u * u), 0.14 - np.abs(u))
    bridge = np.where(distance > 0, -1.0, bridge)
    arm = np.minimum(thick * 0.9 - np.abs(v - e + 0.05), np.abs(u) - s - half_w)
    frame_cover = frame.coverage(np.maximum(np.maximum(ring, bridge), arm))
    on_head = smooth(frame.edge, -0.03, 0.0)
    frame_cover = frame_cover * on_head
    lens = frame.coverage(distance) * on_head
    where = frame.where
    drop = blur(
        shifted(frame_cover, -0.03 * frame.k * lights.direction[0], 0.035 * frame.k),
        0.014 * frame.k,
    )
    canvas.darken(where, 0.35 * drop * (1 - frame_cover), rgb(0.9, 1, 1))
    glare = smooth(np.sin((u * 0.8 + v * 1.1) * 9.0 + now.seed % 6), 0.55, 0.95) * smooth(
        v, e + 0.1, e - 0.14
    )
    labels = canvas.labels[where]
    seen = np.isin(labels, [LABEL[n] for n in ("left_eye", "right_eye", "left_brow", "right_brow")])
    if sun:
        tint = linear(((26, 24, 28), (58, 38, 26), (30, 40, 52))[now.seed % 3])
        fade = tint * (0.6 + 1.1 * smooth(v, e - 0.15, e + 0.2)) * (0.4 + 0.6 * lights.sky)
        canvas.paint(where, fade, 0.93 * lens)
        canvas.paint(where, lights.sky * 0.9, 0.22 * glare * lens)
        labels[lens > 0.5] = LABEL["glasses"]
    else:
        canvas.paint(where, lights.key * 0.9, (0.03 + 0.14 * glare) * lens)
        labels[(lens > 0.5) & ~seen] = LABEL["glasses"]
    lit = 0.55 + 0.9 * smooth(ring, 0.0, thick) * smooth(np.sin(u * 11 + v * 9), 0.2, 1.0)
    tone = linear(now.glasses_colour) * lit * (lights.key * 0.7 + lights.sky)
    canvas.paint(where, tone, frame_cover, "glasses")


def paint_hat(
    canvas: Canvas,
    person: Identity,
    now: Circumstance,
    frame: Frame,
    lights: Lights,
    hair_top: float,
) -> None:
    """A beanie, cap or brimmed hat over the top of the head; hair_top is the hair's thickness."""
    if now.hat == "none":
        return
    k, w = frame.k, frame.width
    cx, cy = now.centre[0] * w, now.centre[1] * w
    where = (
        slice(max(0, int(cy - 2.7 * k)), min(w, max(1, int(cy + 0.6 * k)))),
        slice(max(0, int(cx - 1.9 * k)), min(w, int(cx + 1.9 * k))),
    )
    x, y = frame.x[where], frame.y[where]
    rho, angle = cv2.cartToPolar(x, y - np.float32(POLE))
    puff = {"beanie": 0.10, "cap": 0.09, "brim": 0.10}[now.hat] + min(hair_top, 0.12) * 0.7
    radius = lookup(frame.table, angle) + puff
    if now.hat == "brim":
        radius = radius + 0.10 * smooth(np.abs(np.sin(angle)), 0.5, 1.0)
    turn = math.sin(now.yaw)
    tilt = -0.45 * math.sin(now.pitch)
    edge_y = -0.60 + tilt + (0.30 if now.hat != "brim" else 0.05) * (x - 0.3 * turn) ** 2
    dome = np.minimum(radius - rho, edge_y - y)
    t = np.clip(rho / radius, 0, 1)
    z = np.sqrt(np.maximum(1 - t * t * 0.96, 0.02))
    nx, ny = t * np.cos(angle), t * np.sin(angle)
    tone = linear(WEAR_COLOURS[now.hat_colour])
    weave = 1.0 + 0.07 * sample(grain(121, 3.0), x * 170, y * 170)
    if now.hat == "beanie":
        rib = np.sin(np.arcsin(np.clip(x / (person.face_width + puff + 0.02), -1, 1)) * 34.0)
        fold = smooth(y, edge_y - 0.30, edge_y - 0.27)
        weave = (
            weave
            * (1.0 + 0.14 * rib * min(1.0, k / 70))
            * (1.0 - 0.35 * bump(y, edge_y, 0, 0, 1, 1) * 0)
        )
        weave = weave * (
            1.0 - 0.4 * cv2.exp(-np.minimum(((y - edge_y + 0.29) * 26) ** 2, 30)) + 0.06 * fold
        )
    elif now.hat == "cap":
        seam = cv2.exp(-np.minimum(((x - 0.5 * turn * z) * 45) ** 2, 30))
        weave = weave * (1.0 - 0.25 * seam)
    else:
        ribbon = smooth(y, edge_y - 0.24, edge_y - 0.22)
        weave = weave * (1.0 - 0.62 * ribbon)
    colour = shade(lights, tone * weave, nx, ny, z, 0.9, np.float32(1.0), CLOTH_WRAP)
    cover = frame.coverage(dome)
    shadow = blur(shifted(cover, -0.06 * k * lights.direction[0], 0.16 * k), 0.06 * k)
    canvas.darken(
        where,
        0.55 * np.clip(shadow - cover, 0, 1) * smooth(rho, radius + 0.1, radius - 0.1),
        rgb(0.85, 1, 1),
    )
    canvas.paint(where, colour, cover, "hat")
    if now.hat != "beanie":
        _paint_visor(
            canvas, now, frame, lights, where, x, y, tone, weave, edge_y, turn, tilt, person
        )


def _paint_visor(canvas, now, frame, lights, where, x, y, tone, weave, edge_y, turn, tilt, person):
    if now.hat == "cap":
        centre, half, drop = 0.55 * turn, 0.74, 0.27
        x0 = (x - centre) / half
        arch = np.sqrt(np.maximum(1 - np.clip(x0, -1, 1) ** 2, 0))
        low = -0.70 + tilt + drop * arch
        high = -0.72 + tilt - 0.16 * arch
    else:
        half = 1.42 + 0.2 * person.chubby
        x0 = x / half
        arch = np.sqrt(np.maximum(1 - np.clip(x0, -1, 1) ** 2, 0))
        low = -0.74 + tilt + 0.22 * arch
        high = -0.74 + tilt - 0.13 * arch
    inside = np.minimum(np.minimum(low - y, y - high), (1 - np.abs(x0)) * half)
    cover = frame.coverage(inside)
    shadow = blur(
        shifted(cover, -0.05 * frame.k * lights.direction[0], 0.13 * frame.k), 0.05 * frame.k
    )
    rows = smooth(np.abs(x), 0.85, 0.65)
    canvas.darken(where, 0.6 * np.clip(shadow - cover, 0, 1) * rows, rgb(0.85, 1, 1))
    across = np.clip((y - high) / np.maximum(low - high, 0.02), 0, 1)
    level = 0.95 - 0.45 * across - 0.2 * smooth(inside, 0.03, 0.0)
    canvas.paint(
        where,
        tone * level * (0.8 + 0.2 * weave) * (lights.key * 0.75 + lights.sky * 0.8),
        cover,
        "hat",
    )
