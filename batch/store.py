"""Files in a folder or an object store, each written whole or not at all."""

from __future__ import annotations

import os
import posixpath
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

# In these an object appears when its upload is complete, so that no temporary name is needed.
WHOLE_OBJECTS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
# Names of files that are being written or whose writer was killed.
PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")


class Store:
    """A folder of this machine, or any other place that fsspec knows (`s3://bucket/folder`).

    Names are relative to it, with forward slashes. Raises ValueError for a scheme that is not
    installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self.files, self.root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ValueError(f"cannot use {address}: {error}") from error
        self.root = self.root.rstrip("/")
        protocol = self.files.protocol
        self.protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self.local = "file" in self.protocols

    def __reduce__(self) -> tuple[type, tuple[str]]:
        # A connection cannot be sent to another process.
        return Store, (self.address,)

    def __str__(self) -> str:
        return self.address

    def path(self, name: str) -> str:
        """The full path of a name, for fsspec."""
        return posixpath.join(self.root, name)

    def read(self, name: str) -> bytes:
        """Read a file's contents. Raises FileNotFoundError."""
        return self.files.cat_file(self.path(name))

    def exists(self, name: str) -> bool:
        return self.files.exists(self.path(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which appears when it is complete and replaces one of the same name."""
        path = self.path(name)
        if self.protocols & WHOLE_OBJECTS:
            self.files.pipe_file(path, data)
            return
        self.files.makedirs(posixpath.dirname(path), exist_ok=True)
        folder, last = posixpath.split(path)
        part = posixpath.join(folder, f".{last}.{uuid.uuid4().hex[:8]}.part")
        try:
            if self.local:
                _write_through(Path(part), data)
                os.replace(part, path)
            else:
                self.files.pipe_file(part, data)
                self.files.mv(part, path)
        except BaseException:
            _remove_quietly(self.files, part)
            raise

    def remove(self, names: list[str]) -> None:
        """Remove files; missing ones are no error."""
        for name in names:
            _remove_quietly(self.files, self.path(name))

    def remove_parts(self) -> None:
        """Remove the unfinished files of killed writers; only call it when nobody writes."""
        self.remove([name for name, _ in self.listed() if PART.fullmatch(posixpath.basename(name))])

    def listed(self, folder: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and details of every file in a folder and its subfolders, ordered by name."""
        place = self.path(folder) if folder else self.root
        # A cached listing would miss the files of other processes.
        self.files.invalidate_cache()
        found = self.files.find(place, detail=True) if self.files.exists(place) else {}
        for path in sorted(found):
            yield path[len(self.root) :].lstrip("/"), found[path]

    def is_empty(self) -> bool:
        """Whether the folder is empty or does not exist."""
        self.files.invalidate_cache()
        return not self.files.exists(self.root or "/") or not self.files.ls(self.root or "/", False)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _remove_quietly(files: fsspec.AbstractFileSystem, path: str) -> None:
    try:
        files.rm_file(path)
    except OSError:
        pass
