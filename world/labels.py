"""The label classes of CelebAMask-HQ and the attribute names of CelebA, in their usual order."""

import numpy as np

from ..models.face_classes import CLASSES, PRESETS

LABEL = {name: index for index, name in enumerate(CLASSES)}

ATTRIBUTES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose "
    "Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee "
    "Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard "
    "Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair "
    "Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"
).split()

FACE = tuple(LABEL[name] for name in PRESETS["face"])


def halve(labels: np.ndarray) -> np.ndarray:
    """[2h, 2w] to [h, w] by majority of each 2x2 block (the first of equals)."""
    a, b = labels[::2, ::2], labels[::2, 1::2]
    c, d = labels[1::2, ::2], labels[1::2, 1::2]
    fallback = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, fallback)


def face_box(labels: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, w, h) around every face pixel, zeros if there is none."""
    face = np.zeros(256, bool)
    face[list(FACE)] = True
    found = face[labels]
    columns, rows = np.flatnonzero(found.any(0)), np.flatnonzero(found.any(1))
    if not len(columns):
        return (0, 0, 0, 0)
    x, y = int(columns[0]), int(rows[0])
    return (x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
