"""Words of a prompt that the face mask leaves out. Such words change the wrong part of the picture:

if only the face is masked, "red hair" paints the face red.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..models.face_classes import expand_parts


class _Need(NamedTuple):
    """Words for something on a head, the classes that hold it, and what to choose for it."""

    words: str
    classes: frozenset[str]
    choose: str


# The parser's classes know no beard: it is skin.
_NEEDS = (
    _Need(r"beard(ed)?|moustache|mustache|stubble|facial hair", frozenset({"skin"}), "face"),
    _Need(r"hair|haired|hairstyle|bald|bangs|ponytail", frozenset({"hair"}), "face and hair"),
    _Need(r"hat|cap|beanie|helmet", frozenset({"hair", "hat"}), "face and hair, hat"),
    _Need(r"ears?", frozenset({"left_ear", "right_ear"}), "face, left_ear, right_ear"),
    _Need(
        r"earrings?",
        frozenset({"left_ear", "right_ear", "earring"}),
        "face, left_ear, right_ear, earring",
    ),
)


def left_out(prompt: str, parts: Iterable[str]) -> str | None:
    """A note on words of the prompt that a mask of `parts` (presets and classes) leaves out; None
    without any.

    Raises ValueError for an unknown part.
    """
    marked = expand_parts(parts)
    text, lines = prompt.lower(), []
    for need in _NEEDS:
        found = re.search(rf"\b({need.words})\b", text)
        if found:
            text = re.sub(rf"\b({need.words})\b", " ", text)
            if missing := need.classes - marked:
                names = ", ".join(sorted(missing)).replace("_", " ")
                lines.append(
                    f"the prompt names '{found[0]}', and the mask leaves out {names}: choose "
                    f"{need.choose} as parts of Face Mask."
                )
    return " ".join(lines) or None
