"""The records of a batch, beside its results: a kill at any moment loses no finished picture.

A picture's files are written first and its record last, each whole or not at all. A picture without
a record is run again and writes the same names. At the end of a run the records become rows of one
table, `results.parquet`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .store import Store

JOB = "visage-batch.json"
TABLE = "results.parquet"
REPORT = "report.json"
RECORDS = "records"
FAILED = ".failed.json"
DONE = ".json"
AT_ONCE = 500


@dataclass
class Record:
    """The outcome of one picture.

    `seconds` are those of the workflow alone, `stages` those of every stage. `seeds` holds the
    workflow's seeds by `title.input`, `texts` the texts that nodes showed by title, and `numbers`
    the figures in those texts that are JSON, by `title.name`.
    """

    id: str
    key: str
    error: str = ""
    files: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    attempts: int = 1
    node: str = ""
    finished: float = 0.0


class Records:
    """The records of one output folder."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, record: Record) -> None:
        """Record the outcome of a picture, whose files must have been written."""
        ending = FAILED if record.error else DONE
        self.store.write(
            _name(record.key) + ending, json.dumps(asdict(record), ensure_ascii=False).encode()
        )

    def find(self, key: str) -> Record | None:
        """The record of a picture, done or failed, or None."""
        for ending in (DONE, FAILED):
            try:
                return Record(**json.loads(self.store.read(_name(key) + ending)))
            except FileNotFoundError:
                continue
        return None

    def done(self) -> set[str]:
        """The keys of all finished pictures."""
        loose = {
            name.rsplit("/", 1)[1].removesuffix(DONE)
            for name, _ in self.store.listed(RECORDS)
            if name.endswith(DONE) and not name.endswith(FAILED)
        }
        return loose | set(self._keys_in_table())

    def _keys_in_table(self) -> Iterator[str]:
        if not self.store.exists(TABLE):
            return
        import pyarrow.compute as compute
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(self.store.path(TABLE), filesystem=self.store.files) as file:
            for batch in file.iter_batches(columns=["key", "error"]):
                rows = batch.filter(compute.equal(batch["error"], ""))
                yield from rows["key"].to_pylist()

    def fold(self) -> tuple[int, int]:
        """Move all records into the table; return the numbers of done and of failed pictures.

        A newer record replaces its picture's older row. Only one process may call this at a time.
        """
        import pyarrow
        import pyarrow.parquet as parquet

        names = [name for name, _ in self.store.listed(RECORDS) if name.endswith(DONE)]
        if not names and self.store.exists(TABLE):
            return self._count()
        ids = self._newest(names)
        schema = _schema(pyarrow)
        file = io.BytesIO()
        done = failed = 0
        with parquet.ParquetWriter(file, schema) as writer:
            for rows in self._merged(names, ids):
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                wrong = sum(bool(row["error"]) for row in rows)
                done, failed = done + len(rows) - wrong, failed + wrong
        self.store.write(TABLE, file.getvalue())
        self.store.remove(names)
        return done, failed

    def _newest(self, names: list[str]) -> dict[str, tuple[bool, float, str]]:
        """For each picture, the loose record that counts: done before failed, then the newest."""
        newest: dict[str, tuple[bool, float, str]] = {}
        for record in self._loose(names):
            mine = (not record["error"], record["finished"], record["key"])
            newest[record["id"]] = max(mine, newest.get(record["id"], mine))
        return newest

    def _merged(
        self, names: list[str], newest: dict[str, tuple[bool, float, str]]
    ) -> Iterator[list[dict]]:
        if self.store.exists(TABLE):
            import pyarrow.parquet as parquet

            with parquet.ParquetFile(self.store.path(TABLE), filesystem=self.store.files) as file:
                for batch in file.iter_batches(AT_ONCE):
                    kept = [row for row in batch.to_pylist() if row["id"] not in newest]
                    if kept:
                        yield [_with_dicts(row) for row in kept]
        rows = []
        for record in self._loose(names):
            mine = (not record["error"], record["finished"], record["key"])
            if newest[record["id"]] == mine:
                rows.append(record)
            if len(rows) == AT_ONCE:
                yield rows
                rows = []
        if rows:
            yield rows

    def _loose(self, names: list[str]) -> Iterator[dict]:
        for start in range(0, len(names), AT_ONCE):
            paths = [self.store.path(name) for name in names[start : start + AT_ONCE]]
            found = self.store.files.cat(paths)
            # For a single path fsspec returns the contents alone.
            contents = found.values() if isinstance(found, dict) else [found]
            for data in contents:
                yield json.loads(data)

    def _count(self) -> tuple[int, int]:
        import pyarrow.parquet as parquet

        done = failed = 0
        with parquet.ParquetFile(self.store.path(TABLE), filesystem=self.store.files) as file:
            for batch in file.iter_batches(columns=["error"]):
                wrong = sum(map(bool, batch["error"].to_pylist()))
                done, failed = done + len(batch) - wrong, failed + wrong
        return done, failed


def _name(key: str) -> str:
    # Divided into folders, because one with a hundred thousand files is slow to list.
    return f"{RECORDS}/{key[:2]}/{key}"


def _with_dicts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dict(value) if name in ("texts", "numbers", "seeds", "stages") else value
        for name, value in row.items()
    }


def _schema(pyarrow: Any) -> Any:
    text, number = pyarrow.string(), pyarrow.float64()
    return pyarrow.schema(
        [
            ("id", text),
            ("key", text),
            ("error", text),
            ("files", pyarrow.list_(text)),
            ("texts", pyarrow.map_(text, text)),
            ("numbers", pyarrow.map_(text, number)),
            ("seeds", pyarrow.map_(text, pyarrow.uint64())),
            ("seconds", number),
            ("stages", pyarrow.map_(text, number)),
            ("attempts", pyarrow.int64()),
            ("node", text),
            ("finished", number),
        ]
    )


def claim(store: Store, job: dict[str, Any]) -> None:
    """Mark an output folder as this job's, unless it is already.

    Raises ValueError for a folder that holds another job's results or anything else.
    """
    if store.exists(JOB):
        earlier = json.loads(store.read(JOB))
        changed = [name for name in job if job[name] != earlier.get(name)]
        if changed:
            raise ValueError(
                f"{store} holds the results of another batch ({', '.join(changed)} differ). Give "
                "another folder with --out, or the same command as before to continue that one."
            )
        return
    if not store.is_empty():
        raise ValueError(
            f"{store} is not empty, and no batch has written it: name a new folder with --out."
        )
    store.write(JOB, json.dumps(job, indent=2, sort_keys=True).encode())
