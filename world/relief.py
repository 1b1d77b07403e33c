"""The face's height field: skull plus analytic bumps, its normals, cavities and self-shadow."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .circumstance import Circumstance
from .fields import blur, bump, grain, sample, shifted, smooth
from .frame import Frame
from .identity import Identity


@dataclass
class Relief:
    """height [h, w] in units, normal components [h, w], cavity 0 open .. 1 deep, shadow 0..1."""

    height: np.ndarray
    nx: np.ndarray
    ny: np.ndarray
    nz: np.ndarray
    cavity: np.ndarray
    shadow: np.ndarray


def nose_height(person: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Height of the nose: bridge, tip and wings."""
    tip_v = person.eye_height + person.nose_length + 0.105
    wing = person.nose_width
    along = np.clip(
        (v - person.eye_height + 0.08) * (1.0 / (tip_v - person.eye_height + 0.08)), 0, 1
    )
    ridge = (0.05 + 0.185 * along) * person.nose_bridge
    width = 0.085 + 0.035 * along * (wing / 0.16)
    across = u / width
    bridge = (
        ridge * cv2.exp(-np.minimum(across * across, 30)) * smooth(v, tip_v + 0.165, tip_v - 0.03)
    )
    bridge *= smooth(v, person.eye_height - 0.26, person.eye_height + 0.14)
    ball = (0.075 * person.nose_tip) * bump(u, v, 0, tip_v - 0.005, 0.10 * person.nose_tip, 0.085)
    side = wing * 0.70
    wings = 0.085 * (
        bump(u, v, -side, tip_v + 0.035, wing * 0.36, 0.065)
        + bump(u, v, side, tip_v + 0.035, wing * 0.36, 0.065)
    )
    return bridge + ball + wings


def face_height(person: Identity, now: Circumstance, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Height of the face above the skull, without pores."""
    e, s = person.eye_height, person.eye_spacing
    smile = max(now.smile, 0.0)
    mv = person.mouth_height
    mw = person.mouth_width * (1 + 0.22 * smile)
    au = np.abs(u)
    relief = nose_height(person, u, v)
    relief -= 0.115 * bump(au, v, s - 0.02, e - 0.01, 0.165, 0.115)
    relief += 0.05 * bump(au, v, s, e, 0.12, 0.075)
    relief += (0.035 if person.male else 0.018) * bump(au, v, s - 0.06, e - 0.20, 0.24, 0.07)
    relief += (0.03 + 0.03 * person.cheekbone + 0.05 * smile) * bump(
        au, v, s + 0.13, e + 0.36 - 0.03 * smile, 0.20, 0.16
    )
    relief -= (0.03 * person.cheekbone * (1 - 0.5 * person.chubby)) * bump(
        au, v, 0.5, 0.42, 0.14, 0.25
    )
    relief += 0.05 * person.chubby * bump(au, v, 0.42, 0.5, 0.2, 0.22)
    relief += 0.075 * bump(u, v, 0, mv - 0.01, mw * 1.05, 0.20)
    relief -= 0.018 * bump(u, v, 0, mv - 0.135, 0.03, 0.06)
    relief -= 0.05 * bump(u, v, 0, mv + 0.165, 0.17, 0.05)
    relief += 0.075 * bump(u, v, 0, person.chin_length - 0.14, 0.19, 0.115)
    fold = 0.35 * person.wrinkles + 0.75 * smile + 0.1
    line = au - (person.nose_width + 0.03 + 0.5 * (v - 0.3) + 0.05 * smile)
    relief -= (
        (0.016 * fold) * cv2.exp(-np.minimum((line * 22) ** 2, 30)) * bump(u, v, 0, 0.43, 9, 0.13)
    )
    relief -= (0.012 * person.bags) * bump(au, v, s - 0.03, e + 0.15, 0.13, 0.022)
    if person.wrinkles > 0.05:
        rows = np.sin(v * 58 + 2.2 * np.sin(u * 3.0 + person.seed % 7))
        relief += (0.004 * person.wrinkles) * rows * bump(u, v, 0, -0.68, 0.4, 0.16)
        crow = np.sin((v - e) * 60 + (au - s) * 22)
        relief += (0.004 * person.wrinkles) * crow * bump(au, v, s + 0.24, e + 0.02, 0.06, 0.1)
        relief -= (0.008 * person.wrinkles) * bump(au, v, 0.05, e - 0.17, 0.012, 0.07)
    return relief


def light_direction(now: Circumstance) -> np.ndarray:
    """Unit vector to the key light: x right, y down, z to the viewer."""
    away = np.array([math.sin(now.light_angle), -math.sin(now.light_height), 0.0])
    away[2] = max(0.35, math.cos(now.light_angle) * math.cos(now.light_height))
    return (away / np.linalg.norm(away)).astype(np.float32)


def _cast_shadow(height: np.ndarray, light: np.ndarray, k: float) -> np.ndarray:
    """March the height field towards the light on a small copy; 1 = fully shadowed."""
    h, w = height.shape
    scale = min(1.0, 96.0 / max(h, w))
    small = cv2.resize(height, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shadow = np.zeros_like(small)
    for step in (0.05, 0.1, 0.16, 0.23, 0.32, 0.42):
        move = step * k * scale
        other = shifted(small, -light[0] * move, -light[1] * move)
        shadow = np.maximum(shadow, other - (small + step * light[2]) + 0.012)
    shadow = cv2.GaussianBlur(np.clip(shadow * 14.0, 0, 1), (0, 0), 1.3)
    return cv2.resize(shadow, (w, h), interpolation=cv2.INTER_LINEAR)


def carve(person: Identity, now: Circumstance, frame: Frame) -> Relief:
    """Bend the frame's u, v by the depth of the nose, then build the relief of the head slice."""
    lift = nose_height(person, frame.u, frame.v)
    frame.u -= lift * np.float32(math.sin(now.yaw))
    frame.v -= lift * np.float32(math.sin(now.pitch))
    facing = smooth(frame.edge, 0.0, 0.12)
    relief = face_height(person, now, frame.u, frame.v) * facing
    fine = sample(grain(11, 5.0), frame.u * 210 + person.seed % 97, frame.v * 210)
    pores = (0.0005 * person.texture * min(1.0, frame.k / 120)) * fine
    height = frame.z + relief
    bumpy = height + pores
    dx = cv2.Sobel(bumpy, cv2.CV_32F, 1, 0, ksize=3, scale=frame.k / 8)
    dy = cv2.Sobel(bumpy, cv2.CV_32F, 0, 1, ksize=3, scale=frame.k / 8)
    nz = 1.0 / np.sqrt(1.0 + dx * dx + dy * dy)
    cavity = np.clip((blur(relief, 0.085 * frame.k) - relief) * 10.0, 0.0, 1.0)
    shadow = _cast_shadow(height, light_direction(now), frame.k)
    return Relief(height, -dx * nz, -dy * nz, nz, cavity, shadow)
