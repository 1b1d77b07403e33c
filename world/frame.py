"""The head coordinate frame: where on the face each pixel looks, for any pose.

Screen head coordinates (X, Y) undo position, size and roll; surface coordinates (u, v) also undo
yaw and pitch, so that features drawn in (u, v) turn with the head. Hairline to chin is 2 units.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .circumstance import Circumstance
from .identity import Identity

DEPTH = 0.86
ROUNDNESS = 2.5
POLE = -0.2
TABLE = 1024


def outline_table(person: Identity, mouth_open: float) -> np.ndarray:
    """Radius of the bare head around (0, POLE) for TABLE angles (0 = right, growing downwards)."""
    w = person.face_width
    fat = 0.035 * person.chubby
    chin = person.chin_length + 0.05 * mouth_open
    jaw = w * person.jaw + fat
    half = [
        (0.0, -1.36 * person.forehead),
        (0.38 * w, -1.31 * person.forehead),
        (0.74 * w, -1.10 * person.forehead),
        (0.96 * w, -0.72),
        (1.0 * w, -0.35),
        (0.985 * w * person.cheek, 0.02),
        (0.935 * w * person.cheek + 0.4 * fat, 0.25),
        (jaw * 0.985, 0.50),
        (0.5 * jaw + 0.62 * person.chin_width + 0.5 * fat, 0.74 * chin),
        (person.chin_width + 0.4 * fat, 0.915 * chin),
        (0.55 * person.chin_width, 0.985 * chin),
        (0.0, 1.0 * chin),
    ]
    x = np.array([p[0] for p in half] + [-p[0] for p in half[-2:0:-1]])
    y = np.array([p[1] for p in half] + [p[1] for p in half[-2:0:-1]]) - POLE
    angle = np.arctan2(y, x) % (2 * np.pi)
    order = np.argsort(angle)
    grid = np.arange(TABLE) * (2 * np.pi / TABLE)
    radius = np.interp(grid, angle[order], np.hypot(x, y)[order], period=2 * np.pi)
    kernel = np.hanning(85)
    kernel /= kernel.sum()
    padded = np.concatenate([radius[-42:], radius, radius[:42]])
    return np.convolve(padded, kernel, mode="valid").astype(np.float32)


def lookup(table: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Table value at each angle (radians, 0..2pi), linear between entries."""
    at = angle * (TABLE / (2 * np.pi))
    low = at.astype(np.int32)
    part = at - low.astype(np.float32)
    low &= TABLE - 1
    first = table[low]
    return first + (np.roll(table, -1)[low] - first) * part


@dataclass
class Frame:
    """Float32 planes. `where` is the head's slice of the picture; its planes are cropped to it."""

    width: int
    k: float
    where: tuple[slice, slice]
    x: np.ndarray
    y: np.ndarray
    head_x: np.ndarray
    head_y: np.ndarray
    angle: np.ndarray
    reach: np.ndarray
    edge: np.ndarray
    z: np.ndarray
    u: np.ndarray
    v: np.ndarray
    pose: Circumstance
    table: np.ndarray

    def coverage(self, distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
        """Signed distance (units, inside positive) to antialiased coverage 0..1."""
        return np.clip(distance * (self.k / softness) + 0.5, 0.0, 1.0)

    def project(self, u: float, v: float, lift: float = 0.0) -> tuple[float, float]:
        """Pixel (x, y) of surface point (u, v) raised by `lift`: the inverse of the u, v planes."""
        x, y = u, v
        ct, st = math.cos(self.pose.yaw), math.sin(self.pose.yaw)
        cp, sp = math.cos(self.pose.pitch), math.sin(self.pose.pitch)
        for _ in range(8):
            z = self._depth_at(x, y) + lift
            x, y = (u + z * st) / ct, (v + z * sp) / cp
        return self.place(float(x), float(y))

    def _depth_at(self, x: float, y: float) -> float:
        """The same as `_depth` for a single point."""
        t = min(max((y + 0.5) / 1.5, 0.0), 1.2)
        lower = t * t * (3.0 - 2.0 * min(t, 1.0))
        sx = x - 0.62 * DEPTH * math.sin(self.pose.yaw) * lower
        sy = y - 0.55 * DEPTH * math.sin(self.pose.pitch) * lower - POLE
        at = math.atan2(sy, sx) % (2 * math.pi) * (TABLE / (2 * math.pi))
        reach = math.hypot(sx, sy) / float(self.table[int(at) % TABLE])
        return DEPTH * math.sqrt(max(1.0 - reach**ROUNDNESS, 0.0))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixel (x, y) of screen head coordinates."""
        cr, sr = math.cos(self.pose.roll), math.sin(self.pose.roll)
        return (
            float(self.pose.centre[0] * self.width + self.k * (x * cr - y * sr)),
            float(self.pose.centre[1] * self.width + self.k * (x * sr + y * cr)),
        )

    def region(self, u: float, v: float, radius: float) -> tuple[slice, slice]:
        """Slice of the head planes around surface point (u, v)."""
        return self._box(*self.project(u, v), radius)

    def around(self, x: float, y: float, radius: float) -> tuple[slice, slice]:
        """Slice of the head planes around screen head coordinates (x, y)."""
        return self._box(*self.place(x, y), radius)

    def _box(self, px: float, py: float, radius: float) -> tuple[slice, slice]:
        top, left = self.where[0].start, self.where[1].start
        r = radius * self.k * 1.1 + 2
        h, w = self.u.shape
        rows = slice(int(np.clip(py - r - top, 0, h - 2)), int(np.clip(py + r - top + 1, 2, h)))
        cols = slice(int(np.clip(px - r - left, 0, w - 2)), int(np.clip(px + r - left + 1, 2, w)))
        return rows, cols

    def in_picture(self, where: tuple[slice, slice]) -> tuple[slice, slice]:
        """A slice of the head planes as a slice of the picture."""
        top, left = self.where[0].start, self.where[1].start
        rows, cols = where
        return slice(rows.start + top, rows.stop + top), slice(cols.start + left, cols.stop + left)


def _depth(table, pose, x, y):
    """(angle, reach, edge, z) at screen head coordinates: the head inflated from its outline."""
    t = np.clip((y + 0.5) * (1 / 1.5), 0.0, 1.2)
    lower = t * t * (3.0 - 2.0 * np.minimum(t, 1.0))
    sx = x - (0.62 * DEPTH * math.sin(pose.yaw)) * lower
    sy = y - (0.55 * DEPTH * math.sin(pose.pitch)) * lower - POLE
    rho, angle = cv2.cartToPolar(sx, sy)
    radius = lookup(table, angle)
    reach = rho / radius
    z = DEPTH * np.sqrt(np.maximum(1.0 - cv2.pow(reach, ROUNDNESS), 0.0))
    return angle, reach, radius - rho, z


def build_frame(person: Identity, pose: Circumstance, width: int) -> Frame:
    """Coordinate planes for a width x width picture; ValueError for a head that is not in it."""
    k = pose.face_height * width / 2.0
    cr, sr = np.float32(math.cos(pose.roll) / k), np.float32(math.sin(pose.roll) / k)
    xs = np.arange(width, dtype=np.float32) + np.float32(0.5 - pose.centre[0] * width)
    ys = np.arange(width, dtype=np.float32) + np.float32(0.5 - pose.centre[1] * width)
    x = xs[None, :] * cr + ys[:, None] * sr
    y = ys[:, None] * cr - xs[None, :] * sr
    corners = [(cx, cy) for cx in (-1.0, 1.0) for cy in (-1.5, 1.25)]
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    px = [pose.centre[0] * width + k * (a * cos - b * sin) for a, b in corners]
    py = [pose.centre[1] * width + k * (a * sin + b * cos) for a, b in corners]
    rows = slice(max(0, int(min(py))), min(width, int(max(py)) + 2))
    cols = slice(max(0, int(min(px))), min(width, int(max(px)) + 2))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        raise ValueError(f"the head lies outside the picture (centre {pose.centre})")
    head_x, head_y = np.ascontiguousarray(x[rows, cols]), np.ascontiguousarray(y[rows, cols])
    table = outline_table(person, pose.mouth_open)
    angle, reach, edge, z = _depth(table, pose, head_x, head_y)
    u = head_x * np.float32(math.cos(pose.yaw)) - z * np.float32(math.sin(pose.yaw))
    v = head_y * np.float32(math.cos(pose.pitch)) - z * np.float32(math.sin(pose.pitch))
    return Frame(
        width, k, (rows, cols), x, y, head_x, head_y, angle, reach, edge, z, u, v, pose, table
    )
