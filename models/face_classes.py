"""The nineteen classes of CelebAMask-HQ face parsing, in the order BiSeNet checkpoints use.

Left and right are the viewer's: `left_eye` is the eye on the left side of the picture.
Other parsers number the same classes differently, so code maps by name, never by index.
"""

from __future__ import annotations

from collections.abc import Iterable

CLASSES: tuple[str, ...] = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "glasses",
    "left_ear",
    "right_ear",
    "earring",
    "nose",
    "mouth",
    "upper_lip",
    "lower_lip",
    "neck",
    "necklace",
    "clothes",
    "hair",
    "hat",
)

_FACE = (
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "glasses",
    "nose",
    "mouth",
    "upper_lip",
    "lower_lip",
)

PRESETS: dict[str, tuple[str, ...]] = {
    "face": _FACE,
    "face and hair": (*_FACE, "hair"),
    "skin": ("skin", "nose"),
    "eyes": ("left_eye", "right_eye"),
    "lips": ("upper_lip", "lower_lip"),
    # The preset skin has the name of the class, so the class alone needs another.
    "skin without nose": ("skin",),
}

COLOURS: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "skin": (255, 176, 122),
    "left_brow": (150, 92, 28),
    "right_brow": (206, 138, 40),
    "left_eye": (38, 140, 255),
    "right_eye": (74, 222, 255),
    "glasses": (30, 70, 190),
    "left_ear": (255, 112, 160),
    "right_ear": (214, 60, 130),
    "earring": (255, 240, 90),
    "nose": (250, 112, 60),
    "mouth": (140, 10, 40),
    "upper_lip": (230, 30, 60),
    "lower_lip": (255, 90, 110),
    "neck": (200, 140, 220),
    "necklace": (230, 200, 30),
    "clothes": (70, 180, 90),
    "hair": (130, 80, 230),
    "hat": (20, 170, 160),
}


CHOICES: tuple[str, ...] = tuple(dict.fromkeys((*PRESETS, *CLASSES[1:])))
"""What a user may choose: presets, then single parts, each name once."""
DEFAULT_PARTS = ["face"]
SEPARATOR = ", "
"""Joins the choices where they are one text."""


def class_index(name: str) -> int:
    """Return the channel of a class in the parser's output.

    Raises ValueError if the name is not one of `CLASSES`.
    """
    if name not in CLASSES:
        raise ValueError(f"Unknown face class {name!r}. Known: {', '.join(CLASSES)}.")
    return CLASSES.index(name)


def chosen_parts(parts: list[str] | str | dict | None) -> list[str]:
    """The names in a list or in a text; a new node on the canvas has chosen nothing yet."""
    if isinstance(parts, dict):  # a list in the API form
        parts = parts.get("__value__")
    names = parts.split(SEPARATOR.strip()) if isinstance(parts, str) else parts or []
    return [name.strip() for name in names if name.strip()] or list(DEFAULT_PARTS)


def expand_parts(names: Iterable[str]) -> frozenset[str]:
    """Turn preset names and class names, mixed, into the set of class names they mean.

    Raises ValueError for an unknown name, listing the known ones, and for an empty choice.
    """
    names = tuple(names)
    unknown = [name for name in names if name not in PRESETS and name not in CLASSES]
    if unknown:
        raise ValueError(
            f"Unknown face part {', '.join(map(repr, unknown))}. "
            f"Presets: {', '.join(PRESETS)}. Parts: {', '.join(CLASSES[1:])}."
        )
    if not names:
        raise ValueError(
            f"No face part is chosen. Presets: {', '.join(PRESETS)}. "
            f"Parts: {', '.join(CLASSES[1:])}."
        )
    return frozenset(part for name in names for part in PRESETS.get(name, (name,)))
