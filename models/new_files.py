"""Files written whole or not at all, and never over another; also on disks without hard links."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_new(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file under a temporary name, and then give it its own, which must be
    free.

    Raises FileExistsError where `path` is taken, and what `write` raises; then nothing is left.
    """
    if os.path.lexists(path):
        raise _taken(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        write(temporary)
        give_new_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_numbered(
    named: Callable[[int], Path], number: int, write: Callable[[Path], None]
) -> Path:
    """Write a file under the first free one of `named(number)`, `named(number + 1)` ...

    `write(path)` raises FileExistsError where somebody has just taken the path, as `write_new`
    does. Returns the file's path.
    """
    while True:
        path = named(number)
        if not os.path.lexists(path):
            try:
                write(path)
                return path
            except FileExistsError:
                if not os.path.lexists(path):  # it is about another file
                    raise
        number += 1


def give_new_name(temporary: Path, path: Path) -> None:
    """Move a file to a name in its folder. Raises FileExistsError where that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError:  # exFAT and some network disks have no hard links
        _move_to_held_name(temporary, path)
    temporary.unlink(missing_ok=True)


def _move_to_held_name(temporary: Path, path: Path) -> None:
    """Move a file to a free name, which an empty file holds for a moment."""
    try:
        # Moving alone would replace a file that somebody has just written.
        path.open("x").close()
    except FileExistsError as error:
        raise _taken(path) from error
    try:
        os.replace(temporary, path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists already and is not overwritten.")
