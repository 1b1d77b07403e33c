"""The state of a batch on disk, so that a process that dies loses nothing that was finished."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "visage-queue.jsonl"


@dataclass
class Entry:
    """The last known state of an item: "queued" on a server, "done" or "failed".

    `key` is a hash of all that the result depends on; `files` maps the name of each file in the
    output folder to its size in bytes; `texts` holds the texts that nodes showed, by title, and
    `notes` their messages during the run; `seconds` is the time of the run without its wait.
    """

    item: str
    key: str
    state: str
    server: str = ""
    job: str = ""
    files: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    error: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def shows_nobody(entry: Entry) -> bool:
    """Whether an item is unchanged because no face was found in its picture."""
    said = [*entry.notes, *(line for lines in entry.texts.values() for line in lines)]
    return any("no face found" in text.lower() or _marks_nothing(text) for text in said)


def _marks_nothing(text: str) -> bool:
    """Whether a text is Pixel Blend's report on an empty mask."""
    try:
        report = json.loads(text)
    except ValueError:
        return False
    return isinstance(report, dict) and report.get("mask_share") == 0


class Manifest:
    """The entries of an output folder, one JSON object on each line; an item's last one counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self._entries: dict[tuple[str, str], Entry] = {}
        whole = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        if whole and not whole[-1].endswith(b"\n"):
            # A line was cut off: the next one must start on a line of its own.
            whole.pop()
            os.truncate(self.path, sum(map(len, whole)))
        for line in whole:
            entry = Entry(**json.loads(line))
            self._entries[entry.item, entry.key] = entry

    def find(self, item: str, key: str) -> Entry | None:
        """The entry of an item; None if there is none, or some of its files are missing."""
        entry = self._entries.get((item, key))
        if entry and entry.state == "done" and not all(map(self._is_there, entry.files.items())):
            return None
        return entry

    def note(self, entry: Entry) -> None:
        """Add an entry and flush it to the disk.

        Raises OSError, naming the file, if that fails; the file is then as it was.
        """
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # Otherwise the next entry would be on the same line as the part that was written.
            with suppress(OSError):
                os.truncate(self.path, size)
            reason = f"the batch cannot note its state here: {error.strerror or error}"
            raise OSError(error.errno, reason, str(self.path)) from error
        self._entries[entry.item, entry.key] = entry

    def _is_there(self, file: tuple[str, int]) -> bool:
        path = self.folder / file[0]
        return path.is_file() and path.stat().st_size == file[1]
