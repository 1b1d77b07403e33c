"""Checks and parsing of users' input, with errors that say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError, listing the choices, where `value` is none of them."""
    known = list(choices)
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")


def read_numbers(text: str, name: str) -> list[float]:
    """The numbers of a text, separated by commas, semicolons or spaces; an empty text has none.

    Raises ValueError, naming the input, for anything else.
    """
    try:
        return [float(part) for part in re.split(r"[,;\s]+", text.strip()) if part]
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}; write numbers with commas between.") from error


def passes(check: Callable[..., object], *values: object) -> bool | str:
    """True, or what `check(*values)` raises in words, as ComfyUI's `validate_inputs` answers."""
    try:
        check(*values)
    except (FileNotFoundError, ValueError) as error:
        return str(error)
    return True
