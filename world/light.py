"""Soft key, fill and rim light on a surface given by normals; all in linear light."""

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import rgb
from .circumstance import LIGHTS, Circumstance
from .relief import light_direction

# Light that enters skin comes out further away in red than in blue: wider wrap in red.
SKIN_WRAP = (0.46, 0.32, 0.26)
CLOTH_WRAP = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Lights:
    """Direction [3] and colours [3, 1, 1] of the lights of one picture."""

    direction: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    rim: np.ndarray
    rim_side: float
    hardness: float


def set_lights(now: Circumstance) -> Lights:
    """The lights of this circumstance; a coloured key leaves the fill nearly neutral."""
    colour = rgb(*LIGHTS[now.light_name])
    fill = 0.62 + 0.38 * colour
    return Lights(
        direction=light_direction(now),
        key=(0.92 * now.exposure) * colour,
        sky=(now.exposure * (0.22 + 0.42 * now.fill)) * fill,
        rim=(0.9 * now.rim) * (0.5 + 0.5 * colour[::-1]),
        rim_side=-1.0 if now.light_angle > 0 else 1.0,
        hardness=now.light_hardness,
    )


def shade(lights: Lights, albedo, nx, ny, nz, open_sky, lit, wrap=SKIN_WRAP) -> np.ndarray:
    """Diffuse light [3, h, w] on `albedo`; open_sky = 1 - occlusion, lit = 1 - cast shadow."""
    d = lights.direction
    lambert = nx * d[0] + ny * d[1] + nz * d[2]
    dome = (0.72 - 0.28 * ny) * open_sky
    rim = cv2.pow(np.clip(1.0 - nz, 0, 1), 3.0) * np.clip(nx * lights.rim_side, 0, 1)
    out = np.empty((3, *nx.shape), np.float32)
    for c in range(3):
        w = wrap[c] * (1.25 - 0.6 * lights.hardness)
        key = lambert + w
        key *= 1.0 / (1.0 + w)
        np.clip(key, 0.0, 1.0, out=key)
        key *= lit
        key *= lights.key[c]
        key += dome * lights.sky[c]
        key += rim * lights.rim[c]
        out[c] = key
    out *= albedo
    return out


def gloss(lights: Lights, nx, ny, nz, sharpness: float) -> np.ndarray:
    """Blinn highlight [h, w] of the key light for a viewer at +z."""
    half = lights.direction + np.array([0.0, 0.0, 1.0], np.float32)
    half /= np.linalg.norm(half)
    return cv2.pow(np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0.1, 1), sharpness)
