"""Pictures without a face that look like parts of one: what a face detector must learn to leave.

Hands, knees, windows, lamps, lettering and printed clothes have a face's colours, its outline or
its two dark spots above a third. They are drawn roughly; faces whose parts are out of place, and
heads seen from behind, are made of portraits.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Drawing = Callable[[np.ndarray, np.random.Generator], None]

# Skin from very light to very dark, in sRGB.
_SKIN = np.array([(244, 212, 190), (224, 178, 148), (190, 138, 106), (140, 92, 66), (84, 54, 40)])
_LETTERS = "ABCDEFGHKLMNOPRSTUVWXYZabcdeghmnorstuvwy0123456789&@#"


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Any colour, or one of skin in a third of cases."""
    if rng.random() < 0.35:
        at = rng.uniform(0, len(_SKIN) - 1)
        low = int(at)
        mixed = _SKIN[low] + (at - low) * (_SKIN[min(low + 1, len(_SKIN) - 1)] - _SKIN[low])
        return tuple(int(v) for v in np.clip(mixed + rng.normal(0, 8, 3), 0, 255))
    grey = rng.uniform(0, 255)
    return tuple(int(v) for v in np.clip(grey + rng.normal(0, 45, 3), 0, 255))


def _place(image: np.ndarray, rng: np.random.Generator) -> tuple[tuple[int, int], float]:
    """A point (x, y) of the picture and a size in pixels, small ones as often as large ones."""
    height, width = image.shape[:2]
    point = int(rng.integers(width)), int(rng.integers(height))
    return point, float(np.exp(rng.uniform(np.log(8), np.log(0.6 * width))))


def _blob(image: np.ndarray, rng: np.random.Generator) -> None:
    """An ellipse with a shadow on one side and, at times, dark spots: a knee, a fist, a lamp."""
    (x, y), size = _place(image, rng)
    axes = int(size / 2 * rng.uniform(0.6, 1.1)) + 1, int(size / 2 * rng.uniform(0.8, 1.4)) + 1
    angle, colour = float(rng.uniform(0, 180)), np.array(_colour(rng))
    cv2.ellipse(image, (x, y), axes, angle, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    inner = int(axes[0] * 0.7) + 1, int(axes[1] * 0.7) + 1
    moved = x + int(rng.normal(0, size * 0.08)), y + int(rng.normal(0, size * 0.08))
    lit = np.clip(colour * rng.uniform(0.75, 1.3), 0, 255).tolist()
    cv2.ellipse(image, moved, inner, angle, 0, 360, lit, -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 4))):
        spot = x + int(rng.normal(0, size * 0.2)), y + int(rng.normal(0, size * 0.2))
        dark = np.clip(colour * rng.uniform(0.2, 0.7), 0, 255).tolist()
        cv2.circle(image, spot, max(1, int(size * rng.uniform(0.03, 0.1))), dark, -1, cv2.LINE_AA)


def _hand(image: np.ndarray, rng: np.random.Generator) -> None:
    """Some thick lines of one colour side by side, with dark gaps between: fingers, an arm."""
    (x, y), size = _place(image, rng)
    colour, angle = np.array(_colour(rng)), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    count = int(rng.integers(1, 6))
    thick = max(2, int(size / (count + 1)))
    for number in range(count):
        begin = np.array([x, y]) + across * (number - count / 2) * thick
        end = begin + along * size * rng.uniform(0.5, 1.3) + across * rng.normal(0, thick * 0.4)
        shade = np.clip(colour * rng.uniform(0.8, 1.1), 0, 255).tolist()
        gap = np.clip(colour * 0.5, 0, 255).tolist()
        ends = [tuple(int(v) for v in point) for point in (begin, end)]
        cv2.line(image, *ends, gap, thick + max(1, thick // 5), cv2.LINE_AA)
        cv2.line(image, *ends, shade, thick, cv2.LINE_AA)


def _grid(image: np.ndarray, rng: np.random.Generator) -> None:
    """Equal rectangles or discs in rows on a plain ground: windows, keys, a print, a check."""
    (x, y), size = _place(image, rng)
    columns, rows = (int(v) for v in rng.integers(1, 7, 2))
    step = max(4, int(size / max(columns, rows)))
    ground, colour = _colour(rng), _colour(rng)
    right, bottom = x + columns * step, y + rows * step
    cv2.rectangle(image, (x, y), (right, bottom), ground, -1)
    filled, round_ = rng.uniform(0.3, 0.9), rng.random() < 0.4
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.1:
                continue
            middle = x + int((column + 0.5) * step), y + int((row + 0.5) * step)
            half = max(1, int(step * filled / 2))
            if round_:
                cv2.circle(image, middle, half, colour, -1, cv2.LINE_AA)
            else:
                corner = middle[0] - half, middle[1] - half
                cv2.rectangle(image, corner, (middle[0] + half, middle[1] + half), colour, -1)


def _letters(image: np.ndarray, rng: np.random.Generator) -> None:
    """A line of letters, printed or written."""
    (x, y), size = _place(image, rng)
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 8))))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
                           cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))  # fmt: skip
    thick = max(1, int(size / 40 * rng.integers(1, 5)))
    cv2.putText(image, text, (x - int(size), y), font, size / 30, _colour(rng), thick, cv2.LINE_AA)


def _polygon(image: np.ndarray, rng: np.random.Generator) -> None:
    """A polygon of one colour, or only its outline."""
    (x, y), size = _place(image, rng)
    corners = np.array([x, y]) + rng.normal(0, size / 2, (int(rng.integers(3, 8)), 2))
    if rng.random() < 0.7:
        cv2.fillPoly(image, [corners.astype(np.int32)], _colour(rng), cv2.LINE_AA)
    else:
        thick = max(1, int(size / 15))
        cv2.polylines(image, [corners.astype(np.int32)], True, _colour(rng), thick, cv2.LINE_AA)


def _rings(image: np.ndarray, rng: np.random.Generator) -> None:
    """Discs inside each other, as a lens, a clock, a button or a wheel shows them."""
    (x, y), size = _place(image, rng)
    for part in sorted(rng.uniform(0.1, 1.0, int(rng.integers(1, 5))), reverse=True):
        cv2.circle(image, (x, y), max(1, int(size / 2 * part)), _colour(rng), -1, cv2.LINE_AA)


_DRAWINGS: tuple[Drawing, ...] = (_blob, _blob, _hand, _hand, _grid, _letters, _polygon, _rings)


def add_clutter(image: np.ndarray, rng: np.random.Generator, most: int = 12) -> np.ndarray:
    """Return a picture uint8 [S, S, 3] with up to `most` drawn things in it, in or out of focus."""
    result = image.copy()
    for _ in range(int(rng.integers(1, most + 1))):
        before = result.copy()
        _DRAWINGS[rng.integers(len(_DRAWINGS))](result, rng)
        if rng.random() < 0.5:
            soft = cv2.GaussianBlur(result, (0, 0), float(np.exp(rng.uniform(-1, 1.2))))
            changed = (np.abs(result.astype(np.int16) - before).max(2) > 0).astype(np.float32)
            matte = cv2.GaussianBlur(changed, (0, 0), 1.0)[..., None]
            result = (soft * matte + result * (1 - matte)).astype(np.uint8)
    return result


def out_of_place(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a square cut-out uint8 [S, S, 3] of a face whose parts no longer make a face.

    Its quarters change places, its halves change places, or one part of it fills the square.
    """
    side = face.shape[0] // 2 * 2
    half, face = side // 2, face[:side, :side]
    kind = rng.integers(3)
    if kind == 0:
        quarters = [face[y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
        order = [(1, 2, 3, 0), (3, 2, 1, 0), (2, 0, 3, 1), (3, 0, 1, 2)][rng.integers(4)]
        turned = [np.rot90(quarters[k], int(rng.integers(4))) for k in order]
        return np.concatenate([np.concatenate(turned[:2], 1), np.concatenate(turned[2:], 1)])
    if kind == 1:
        return np.ascontiguousarray(np.concatenate([face[half:], face[:half]]))
    y, x = (int(v) for v in rng.integers(0, half + 1, 2))
    return cv2.resize(face[y : y + half, x : x + half], (side, side))


def from_behind(image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture uint8 [H, W, 3] whose faces (boxes [N, 4]) are covered by what is above
    them, mostly hair, drawn out downwards.
    """
    result = image.copy()
    height, width = image.shape[:2]
    for x, y, w, h in boxes:
        left, right = max(0, int(x - 0.15 * w)), min(width, int(x + 1.15 * w))
        top, bottom = max(0, int(y - 0.2 * h)), min(height, int(y + 1.1 * h))
        strip = image[max(0, top - max(2, int(0.25 * h))) : max(top, 1), left:right]
        if right - left < 4 or bottom - top < 4 or not strip.size:
            continue
        hair = cv2.resize(strip, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        shade = rng.normal(1, 0.08, (1, right - left, 1)) * rng.uniform(0.7, 1.1)
        oval = np.zeros((height, width), np.float32)
        middle = (left + right) // 2, (top + bottom) // 2
        axes = max(1, (right - left) // 2), max(1, (bottom - top) // 2)
        cv2.ellipse(oval, middle, axes, 0, 0, 360, 1.0, -1)
        matte = cv2.GaussianBlur(oval, (0, 0), max(0.5, 0.04 * w))[top:bottom, left:right, None]
        part = result[top:bottom, left:right]
        mixed = np.clip(hair * shade, 0, 255) * matte + part * (1 - matte)
        result[top:bottom, left:right] = mixed.astype(np.uint8)
    return result
