"""The actors of a batch: workers that hold an engine, and the ledger of pictures in work."""

from __future__ import annotations

import errno
import json
import os
import posixpath
import socket
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..headless.pictures import as_uploaded
from .job import Job, seeds_of
from .records import Record, Records
from .rows import Row, is_safe
from .runner import numbers_in, title_of
from .sources import Source
from .store import Store

ATTEMPTS = 3
# Kinds of files that may have more than 8 bits per channel.
MAYBE_DEEP = frozenset({".png", ".tif", ".tiff"})
PICTURES = "pictures"
# Errors of the output folder, which every other picture would have, too.
BROKEN_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Ledger:
    """Counts how often each picture was begun, and knows which are done.

    A picture that kills its worker every time is given up, and one that was done before a node was
    lost is not repeated. The ledger is in memory: a new run of the batch begins with an empty one.
    """

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._done: set[int] = set()

    def begin(self, key: str) -> int:
        """Note that a worker begins a picture; return the attempt's number, 0 if it is done."""
        if int(key, 16) in self._done:
            return 0
        self._begun[key] += 1
        return self._begun[key]

    def end(self, key: str) -> None:
        """Note that a picture is recorded."""
        self._begun.pop(key, None)
        self._done.add(int(key, 16))


class Reader:
    """Reads the parts of a source, without finished pictures."""

    def __init__(self, source: Source, done: frozenset[str]) -> None:
        self.source, self.done = source, done

    def __call__(self, part: dict) -> list[dict]:
        """Return the pictures of a part, a dictionary for each."""
        return [
            {**asdict(row), "settings": json.dumps(row.settings)}
            for row in self.source.rows(part)
            if row.key not in self.done
        ]


class Worker:
    """Runs a job's workflow on pictures, with the models in memory."""

    def __init__(self, job: Job, source: Store, out: Store, ledger: Any) -> None:
        self.source, self.out, self.ledger = source, out, ledger
        self.records = Records(out)
        self.node = f"{socket.gethostname()} {os.getpid()}"
        self.refusal = ""
        try:
            self.runner = job.start()
        except Exception as error:
            # Kept, because an error raised here would be buried in Ray's traces.
            self.refusal = _in_words(error)
            return
        self.seeds = seeds_of(self.runner.prompt, title_of)

    def __call__(self, given: dict) -> dict[str, str]:
        """Work on one picture and record the outcome; return the record as JSON.

        It holds "refused" instead if no picture can be run, and "stop" if writing fails.
        """
        if self.refusal:
            return {"outcome": json.dumps({"refused": self.refusal})}
        settings = json.loads(given.get("settings") or "{}")
        row = Row(**{**given, "settings": settings})
        import ray

        attempt = ray.get(self.ledger.begin.remote(row.key))
        try:
            record = self._earlier(row, attempt) or self.work_on(row, attempt)
        except OSError as error:
            if error.errno not in BROKEN_PLACE:
                raise
            return {"outcome": json.dumps({"stop": f"cannot write to {self.out}: {error}"})}
        self.ledger.end.remote(row.key)
        return {"outcome": json.dumps(asdict(record))}

    def _earlier(self, row: Row, attempt: int) -> Record | None:
        """The record of a picture that was finished before its worker or node was lost."""
        return self.records.find(row.key) if attempt != 1 else None

    def work_on(self, row: Row, attempt: int) -> Record:
        """Run the workflow on a picture; write its files and then its record."""
        record = Record(row.id, row.key, attempts=attempt, node=self.node)
        start = time.perf_counter()
        try:
            if row.error:
                raise ValueError(row.error)
            if attempt > ATTEMPTS:
                raise ValueError(f"given up: it took its worker down {ATTEMPTS} times")
            if not is_safe(row.id):
                raise ValueError(f"the id {row.id!r} cannot be the name of a file")
            self._run(row, record)
        except Exception as error:
            if getattr(error, "errno", None) in BROKEN_PLACE:
                raise
            record.error = _in_words(error)
        record.finished = time.time()
        before = time.perf_counter()
        self.records.write(record)
        record.stages["record"] = time.perf_counter() - before
        record.stages["all"] = time.perf_counter() - start
        return record

    def _run(self, row: Row, record: Record) -> None:
        start = time.perf_counter()
        data = row.data
        if not data:
            try:
                data = self.source.read(row.name) if row.name else b""
            except OSError as error:
                raise ValueError(f"{row.name} cannot be read: {error}") from error
        read = time.perf_counter()
        name = posixpath.basename(row.id)
        name = name if name.endswith(row.suffix) else name + row.suffix
        data, name = _as_queued(data, name)
        made = self.runner.run(name, data, row.settings)
        ran = time.perf_counter()
        for ending, contents in made.files.items():
            path = f"{PICTURES}/{row.id}{ending}"
            self.out.write(path, contents)
            record.files.append(path)
        written = time.perf_counter()
        record.texts, record.numbers = made.texts, numbers_in(made.texts)
        record.seeds = {**self.seeds, **_own_seeds(row.settings)}
        record.seconds = ran - read
        record.stages = {"read": read - start, "run": ran - read, "write": written - ran}


def _as_queued(data: bytes, name: str) -> tuple[bytes, str]:
    """A picture's contents and name as `visage queue` would upload them."""
    if Path(name).suffix.lower() not in MAYBE_DEEP:
        return data, name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return as_uploaded(path)


def _in_words(error: Exception) -> str:
    """An error's text, with its type if it is not one of ours."""
    ours = isinstance(error, (ValueError, FileNotFoundError)) and str(error)
    return str(error) if ours else f"{type(error).__name__}: {error}"


def _own_seeds(settings: dict[str, Any]) -> dict[str, int]:
    return {
        n: int(v) for n, v in settings.items() if n.rpartition(".")[2] in ("seed", "noise_seed")
    }
