"""Where the pictures of a batch come from: a folder, Parquet files, or WebDataset tars.

A folder's pictures are listed here and read by the workers. Parquet files and tars are read as a
stream, so that they need not fit into memory.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any, Protocol

from ..models.picture_folder import PICTURES
from .containers import Parquet, Tars
from .rows import Row, key_of
from .store import Store


class Source(Protocol):
    """Pictures in parts that several workers can read independently."""

    store: Store
    total: int | None

    def parts(self, done: Collection[str]) -> list[dict]:
        """The parts to read, without those whose pictures' keys are all in `done`."""
        ...

    def rows(self, part: dict) -> Iterator[Row]:
        """Yield the pictures of one part, in order; an unreadable one is a row with an error."""
        ...


def open_source(
    address: str, column: str | None = None, id_column: str | None = None, out: Store | None = None
) -> Source:
    """Open a folder, a file, a pattern (`shards/*.tar`) or an fsspec address as a source.

    Raises FileNotFoundError or ValueError when nothing is there, it holds no pictures, or it holds
    several kinds of sources.
    """
    store, names = _listed(address, out)
    kinds = {
        "pictures": [n for n in names if posixpath.splitext(n)[1].lower() in PICTURES],
        "Parquet files": [n for n in names if n.lower().endswith(".parquet")],
        "tars": [n for n in names if n.lower().endswith(".tar")],
    }
    found = [kind for kind, those in kinds.items() if those]
    if not found:
        raise ValueError(
            f"there is nothing to work on in {address}: no pictures "
            f"({', '.join(sorted(PICTURES))}), no .parquet and no .tar"
        )
    if len(found) > 1:
        raise ValueError(
            f"{address} holds {' and '.join(found)}: name one kind by a pattern, such as "
            f"{address.rstrip('/')}/*{'.tar' if 'tars' in found else '.parquet'}"
        )
    stamps = {name: names[name] for name in kinds[found[0]]}
    if found[0] == "pictures":
        return Folder(store, stamps)
    if found[0] == "tars":
        return Tars(store, stamps)
    return Parquet(store, stamps, column, id_column)


def open_pictures(address: str) -> Folder:
    """Open a folder of pictures, or one picture. Raises ValueError for other kinds of source."""
    source = open_source(address)
    if not isinstance(source, Folder):
        raise ValueError(f"{address} is no folder of pictures")
    return source


def _listed(address: str, out: Store | None) -> tuple[Store, dict[str, str]]:
    """A store, and the stamps (size and time) of its files by name, without hidden ones."""
    pattern = "*" in address
    base = address if not pattern else posixpath.dirname(address[: address.index("*")] + "x")
    store = Store(base or ".")
    if not store.files.exists(store.root or "/"):
        raise FileNotFoundError(f"There is no file and no folder {base}.")
    if store.files.isfile(store.root):
        folder, name = posixpath.split(store.root)
        single = Store(address[: len(address) - len(posixpath.basename(address))] or ".")
        return single, {name: _stamp(store.files.info(store.root))}
    inside = None
    if out and out.protocols == store.protocols and out.root.startswith(store.root + "/"):
        inside = out.root[len(store.root) + 1 :] + "/"
    names = {}
    for name, details in store.listed():
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if inside and name.startswith(inside):
            continue
        names[name] = _stamp(details)
    if pattern:
        wanted = address[len(base) :].lstrip("/")
        names = {name: stamp for name, stamp in names.items() if fnmatchcase(name, wanted)}
    return store, names


def _stamp(details: dict[str, Any]) -> str:
    marks = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    mark = next((str(details[name]) for name in marks if details.get(name)), "")
    return f"{details.get('size')} {mark}"


class Folder:
    """All picture files of a folder and its subfolders.

    The id is the path without the suffix, or with it if two files differ in nothing else."""

    def __init__(self, store: Store, stamps: dict[str, str]) -> None:
        self.store, self.total = store, len(stamps)
        stems = Counter(posixpath.splitext(name)[0] for name in stamps)
        self._rows = []
        for name, stamp in stamps.items():
            stem, suffix = posixpath.splitext(name)
            identifier = stem if stems[stem] == 1 else name
            self._rows.append((identifier, key_of(identifier, stamp), suffix, name))

    def listed(self) -> list[tuple[str, str, str, str]]:
        """Id, key, suffix and name of every picture."""
        return self._rows

    def parts(self, done: Collection[str]) -> list[dict]:
        return [
            {"id": identifier, "key": key, "suffix": suffix, "name": name}
            for identifier, key, suffix, name in self._rows
            if key not in done
        ]

    def rows(self, part: dict) -> Iterator[Row]:
        yield Row(**part)
