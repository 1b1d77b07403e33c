"""One prompt for every face of a picture, or one for each: `0: with a beard | 2: smiling`."""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"\s*(\d+)\s*:\s*(.*?)\s*", re.DOTALL)


def read_face_prompts(text: str) -> dict[int | None, str]:
    """Return the prompt of each face by its number, from left to right; None stands for all faces.

    A text in which every part between bars begins with a number and a colon names faces; any other
    text is one prompt for all. Raises ValueError for a number that comes twice and a face without a
    prompt.
    """
    parts = [_NUMBERED.fullmatch(part) for part in text.split("|")]
    if not all(parts):
        return {None: text}
    prompts: dict[int | None, str] = {}
    for part in parts:
        number, prompt = int(part[1]), part[2]
        if number in prompts:
            raise ValueError(f"Face {number} has two prompts in {text!r}. Give each face one.")
        if not prompt:
            raise ValueError(f"Face {number} has no prompt in {text!r}. Write it after the colon.")
        prompts[number] = prompt
    return prompts
