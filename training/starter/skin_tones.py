"""Views whose faces have another tone of skin than their surroundings, with captions that name it.

The neck always shows a face's own tone, so that a UNet learns to look there and not at the words.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ...models.face_classes import CLASSES, PRESETS
from ...world.identity import SKIN_NAMES, SKIN_TONES

FACE_SKIN = [CLASSES.index(name) for name in PRESETS["skin"]]
LIPS = [CLASSES.index(name) for name in ("upper_lip", "lower_lip")]
# Lips differ less between people than skin does.
LIPS_CHANGE = 0.6
# A channel that is made brighter than this loses its shine to white and shows its noise.
MOST_BRIGHTER = 1.6
# A face is not made darker than this (mean, 0..255): in dim light its features would be lost.
LEAST_LIGHT = 56.0


def named_tone(captions: Sequence[str]) -> str | None:
    """The tone of skin that the captions of one picture name, or None."""
    tones = (name for name in SKIN_NAMES if any(f"{name} skin" in text for text in captions))
    return next(tones, None)


def captions_of_tone(captions: Sequence[str], tone: str) -> list[str]:
    """The captions that name a tone of skin, with `tone` in its place."""
    own = f"{named_tone(captions)} skin"
    return [text.replace(own, f"{tone} skin") for text in captions if own in text]


def _ratio(own: str, tone: str) -> np.ndarray:
    return SKIN_TONES[SKIN_NAMES.index(tone)] / SKIN_TONES[SKIN_NAMES.index(own)]


def other_tones(own: str) -> list[str]:
    """The tones that a face of tone `own` can be given."""
    return [t for t in SKIN_NAMES if t != own and _ratio(own, t).max() <= MOST_BRIGHTER]


def repaint_skin(view: np.ndarray, labels: np.ndarray, own: str, tone: str) -> np.ndarray:
    """The view uint8 [S, S, 3] with its face in another tone; labels [S, S] are its class map.

    Light and shade stay: every channel is multiplied by the ratio of the two tones' colours. In dim
    light a darker tone is approached only as far as LEAST_LIGHT allows.
    """
    skin = np.isin(labels, FACE_SKIN)
    ratio = _ratio(own, tone)
    if ratio.mean() < 1 and skin.any():
        room = np.log(LEAST_LIGHT / max(float(view[skin].mean()), 1.0))
        ratio = ratio ** np.clip(room / np.log(ratio.mean()), 0, 1)
    amount = skin + LIPS_CHANGE * np.isin(labels, LIPS)
    amount = cv2.GaussianBlur(amount.astype(np.float32), (0, 0), labels.shape[0] / 96)
    painted = view * (1 + amount[..., None] * (ratio - 1))
    return painted.clip(0, 255).round().astype(np.uint8)
