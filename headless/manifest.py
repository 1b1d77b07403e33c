"""What a batch has done so far, on disk: a process that dies loses nothing that was finished."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "visage-queue.jsonl"


@dataclass
class Entry:
    """The last known state of an item: "queued" on a server, "done" or "failed".

    `key` stands for everything that its result depends on; `files` maps the name of each file, from
    the output folder, to its size in bytes; `texts` holds by node title what text nodes showed.
    """

    item: str
    key: str
    state: str
    server: str = ""
    job: str = ""
    files: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0


class Manifest:
    """The entries of an output folder, one JSON object a line; the last one of an item counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        self._entries: dict[tuple[str, str], Entry] = {}
        whole = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        if whole and not whole[-1].endswith(b"\n"):
            # Cut off in the middle: the next line must start on its own.
            whole.pop()
            os.truncate(self.path, sum(map(len, whole)))
        for line in whole:
            entry = Entry(**json.loads(line))
            self._entries[entry.item, entry.key] = entry

    def find(self, item: str, key: str) -> Entry | None:
        """The entry of an item; None if there is none or its files are no longer all there."""
        entry = self._entries.get((item, key))
        if entry and entry.state == "done" and not all(map(self._is_there, entry.files.items())):
            return None
        return entry

    def note(self, entry: Entry) -> None:
        """Add an entry; it is on the disk when this returns."""
        self._entries[entry.item, entry.key] = entry
        with self.path.open("ab") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _is_there(self, file: tuple[str, int]) -> bool:
        path = self.folder / file[0]
        return path.is_file() and path.stat().st_size == file[1]
