"""Pictures inside larger files: WebDataset tars and Parquet."""

from __future__ import annotations

import posixpath
import tarfile
from collections import Counter
from collections.abc import Collection, Iterator

from ..models.picture_folder import PICTURES
from .rows import Row, key_of
from .store import Store

PICTURE_COLUMNS = ("image", "picture", "bytes", "content", "data")
ID_COLUMNS = ("id", "key", "__key__", "path", "name", "file_name")
ROWS_AT_ONCE = 8


class Tars:
    """WebDataset tars: files with the same name up to the first dot are one sample.

    The sample's picture is used. Its id is the tar's path and that name.
    """

    total = None

    def __init__(self, store: Store, stamps: dict[str, str]) -> None:
        self.store, self.stamps = store, stamps

    def parts(self, done: Collection[str]) -> list[dict]:
        return [{"name": name, "stamp": stamp} for name, stamp in self.stamps.items()]

    def rows(self, part: dict) -> Iterator[Row]:
        name, stamp = part["name"], part["stamp"]
        tar_id = posixpath.splitext(name)[0]
        seen: set[str] = set()
        try:
            with (
                self.store.files.open(self.store.path(name), "rb") as file,
                tarfile.open(fileobj=file, mode="r|*") as tar,
            ):
                for member in tar:
                    row = self._row(tar, member, tar_id, stamp)
                    if row is None:
                        continue
                    if row.id in seen:
                        row.error = f"{row.id} is in {name} twice"
                        row.key = key_of(f"{row.id} again {member.offset}", stamp)
                        row.id = f"{row.id}-again-{member.offset}"
                    seen.add(row.id)
                    yield row
        except (OSError, EOFError, tarfile.TarError) as error:
            rest = f" after {len(seen)} pictures" if seen else ""
            yield Row(
                f"{tar_id}/unreadable", key_of(f"{tar_id}/unreadable", stamp), name=name,
                error=f"{name} cannot be read{rest}: {error}",
            )  # fmt: skip

    def _row(self, tar: tarfile.TarFile, member: tarfile.TarInfo, tar_id: str, stamp: str):
        folder, last = posixpath.split(member.name)
        stem, dot, ending = last.partition(".")
        suffix = posixpath.splitext(last)[1].lower()
        # A mask or other companion (key.mask.png) is not the sample's picture.
        if not member.isfile() or suffix not in PICTURES or f".{ending.lower()}" != suffix:
            return None
        identifier = posixpath.normpath(posixpath.join(tar_id, folder, stem))
        file = tar.extractfile(member)
        if file is None:
            return None
        return Row(identifier, key_of(identifier, stamp), suffix, data=file.read())


class Parquet:
    """Parquet files with a column of pictures: bytes, or the struct {bytes, path} of Hugging Face.

    The id is a column of unique texts if there is one, else the file's path and the row's number.
    A column named `title.input` sets that input for each row.
    """

    def __init__(
        self, store: Store, stamps: dict[str, str], column: str | None, id_column: str | None
    ) -> None:
        import pyarrow.parquet

        self._parquet = pyarrow.parquet
        self.store, self.stamps = store, stamps
        self.total = 0
        self.groups: list[dict] = []
        names: list[str] = []
        for name in stamps:
            try:
                with self._open(name) as file:
                    shape = file.metadata
                    names = names or list(file.schema_arrow.names)
            except (OSError, ValueError) as error:
                self.groups.append({"name": name, "group": -1, "first": 0, "error": str(error)})
                continue
            first = 0
            for group in range(shape.num_row_groups):
                self.groups.append({"name": name, "group": group, "first": first, "error": ""})
                first += shape.row_group(group).num_rows
            self.total += shape.num_rows
        if not names:
            raise ValueError(f"none of the Parquet files in {store} can be read")
        self.column = _chosen(column, PICTURE_COLUMNS, names, "--column")
        if self.column is None:
            raise ValueError(
                f"which column holds the pictures? Name it with --column: {', '.join(names)}"
            )
        self.id_column = _chosen(id_column, ID_COLUMNS, names, "--id-column")
        self.settings = [name for name in names if "." in name]
        if self.id_column:
            self._require_unique()

    def __reduce__(self) -> tuple:
        return _parquet_again, (self.store, self.stamps, self.column, self.id_column, self.settings)

    def _open(self, name: str):
        return self._parquet.ParquetFile(self.store.path(name), filesystem=self.store.files)

    def _require_unique(self) -> None:
        seen: Counter[str] = Counter()
        for name in {group["name"] for group in self.groups if group["group"] >= 0}:
            with self._open(name) as file:
                seen.update(map(str, file.read([self.id_column])[self.id_column].to_pylist()))
        twice = [identifier for identifier, count in seen.most_common(3) if count > 1]
        if twice:
            raise ValueError(
                f"the column {self.id_column} has repeated values, such as "
                f"{', '.join(twice)}: name another with --id-column, or none with --id-column ''"
            )

    def parts(self, done: Collection[str]) -> list[dict]:
        return [group | {"stamp": self.stamps[group["name"]]} for group in self.groups]

    def rows(self, part: dict) -> Iterator[Row]:
        name, stamp = part["name"], part["stamp"]
        stem = posixpath.splitext(name)[0]
        number, error = part["first"], part["error"]
        columns = [self.column, *([self.id_column] if self.id_column else []), *self.settings]
        try:
            if error:
                raise OSError(error)
            with self._open(name) as file:
                found = file.iter_batches(ROWS_AT_ONCE, [part["group"]], columns)
                for batch in found:
                    for values in batch.to_pylist():
                        yield self._row(values, stem, number, stamp)
                        number += 1
        except (OSError, ValueError) as broken:
            identifier = f"{stem}/unreadable from {number}"
            yield Row(
                identifier, key_of(identifier, stamp), name=name,
                error=f"{name} cannot be read from row {number} on: {broken}",
            )  # fmt: skip

    def _row(self, values: dict, stem: str, number: int, stamp: str) -> Row:
        picture = values[self.column]
        inner = picture.get("path") if isinstance(picture, dict) else None
        data = picture.get("bytes") if isinstance(picture, dict) else picture
        given = values[self.id_column] if self.id_column else None
        identifier = f"{stem}/{number:07}" if given is None else str(given)
        suffix = posixpath.splitext(inner or (identifier if self.id_column else ""))[1].lower()
        row = Row(identifier, key_of(identifier, stamp), suffix if suffix in PICTURES else ".png")
        row.settings = {n: values[n] for n in self.settings if values[n] is not None}
        if isinstance(data, (bytes, bytearray)):
            row.data = bytes(data)
        else:
            row.error = f"row {number} of {stem} has no picture in {self.column}, but {data!r:.60}"
        return row


def _parquet_again(store, stamps, column, id_column, settings) -> Parquet:
    import pyarrow.parquet

    source = object.__new__(Parquet)
    source.__dict__.update(
        _parquet=pyarrow.parquet, store=store, stamps=stamps, column=column, id_column=id_column,
        settings=settings, groups=[], total=None,
    )  # fmt: skip
    return source


def _chosen(given: str | None, usual: tuple[str, ...], names: list[str], option: str) -> str | None:
    if given:
        if given not in names:
            raise ValueError(f"there is no column {given} ({option}); there are {', '.join(names)}")
        return given
    if given == "":
        return None
    return next((name for name in usual if name in names), None)
