"""The files that a run leaves: which they are, how their names end, and how they are kept."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

from ..models.new_files import give_new_name
from .workflow import title_of

Download = Callable[[dict], Awaitable[bytes]]
"""Returns the file that an output entry (`filename`, `subfolder`, `type`) stands for."""


def ending_of(title: str, suffix: str) -> str:
    """The end of a result's name, after that of its picture, by the title of its node:
    `_Raw_result.png`."""
    plain = re.sub(r"[^\w.-]+", "_", title).strip("_.")
    return f"_{plain}{suffix}"


async def saved_files(
    prompt: dict, outputs: dict, download: Download, previews: bool
) -> AsyncIterator[tuple[str, bytes]]:
    """Yield name ending and contents of each file that the nodes of a run saved.

    With `previews`, previewed pictures are yielded, too. `outputs` are those of the run by node
    id; errors are those of `download`.
    """
    kinds = ("output", "temp") if previews else ("output",)
    for node in filter(outputs.get, prompt):
        for saved in itertools.chain.from_iterable(outputs[node].values()):
            if isinstance(saved, dict) and saved.get("type") in kinds:
                ending = ending_of(title_of(prompt, node), Path(saved["filename"]).suffix)
                yield ending, await download(saved)


def keep(data: bytes, folder: Path, name: str, taken: Collection[str] = ()) -> str:
    """Write a file whole or not at all, and never over another; return its name in `folder`.

    If the name is in use, `-2`, `-3` ... is appended, unless that file holds the same bytes and is
    not in `taken`: then a run wrote it just before it was killed. Raises OSError.
    """
    wanted = folder / name
    wanted.parent.mkdir(parents=True, exist_ok=True)
    part = wanted.with_name(f".{wanted.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        for number in itertools.count(1):
            path = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
            free = path.relative_to(folder).as_posix()
            if free not in taken and (_moved(part, path) or _holds(path, data)):
                return free
    finally:
        part.unlink(missing_ok=True)


def _moved(part: Path, path: Path) -> bool:
    """Give a file a name, unless that is in use, perhaps since a moment ago."""
    try:
        give_new_name(part, path)
    except FileExistsError:
        return False
    return True


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
