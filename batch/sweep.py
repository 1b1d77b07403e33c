"""A sweep of a workflow's settings on a cluster.

Every picture with every combination of settings is a picture of one batch, so that no worker loads
its models twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..headless.sweep import SCORED_BY, Sweep, combinations, label_of
from .job import Job
from .pipeline import Listener, Report, Scale, run_job
from .records import TABLE
from .rows import key_of
from .sources import Folder
from .store import Store

TITLE = "Trade-off"


@dataclass(frozen=True)
class SweepJob(Job):
    """A job whose Trade-off nodes do not collect, so that no other sweep is in this one's curve."""

    def prompt(self, object_info: dict) -> dict:
        prompt = super().prompt(object_info)
        for node in prompt.values():
            if node["class_type"] == SCORED_BY:
                node["inputs"]["keep"] = ""
        return prompt


class Swept(Folder):
    """The pictures of a folder, each repeated for every combination of the dials."""

    def __init__(self, folder: Folder, dials: Mapping[str, Sequence[str]]) -> None:
        self.store = folder.store
        self.labels: dict[str, str] = {}
        self._rows, self._settings = [], {}
        for choice in combinations(dials):
            label = label_of(choice)
            place = re.sub(r"[^\w.=-]+", "_", label) or "run"
            for identifier, key, suffix, name in folder.listed():
                own = f"{place}/{identifier}"
                own_key = key_of(own, key)
                self.labels[own] = label
                self._settings[own_key] = json.dumps(choice)
                self._rows.append((own, own_key, suffix, name))
        self.total = len(self._rows)

    def parts(self, done: Any) -> list[dict]:
        return [part | {"settings": self._settings[part["key"]]} for part in super().parts(done)]


def sweep_on_cluster(
    job: SweepJob,
    folder: Folder,
    dials: Mapping[str, Sequence[str]],
    out: Store,
    scale: Scale,
    heard: Listener,
) -> tuple[list[Sweep], Report]:
    """Run a job for every picture and every combination of the dials; see `headless.sweep.sweep`.

    The report's `done` and `failed` are of these alone, not of other sweeps in the same folder.
    Raises ValueError for a workflow without a Trade-off node, and when no picture can be run.
    """
    titles = set(_titles(job.workflow))
    if not titles:
        raise ValueError(
            "the workflow has no node Trade-off, which takes the scores: connect Style Score and "
            "Identity Score to one"
        )
    source = Swept(folder, dials)
    report = run_job(job, source, out, scale, heard)
    tables: dict[str, list[list[str]]] = {
        label: [] for label in dict.fromkeys(source.labels.values())
    }
    done = failed = 0
    for identifier, error, texts in _outcomes(out):
        if identifier not in source.labels:
            continue
        if error:
            failed += 1
            continue
        done += 1
        tables[source.labels[identifier]].append([t for name, t in texts if name in titles])
    swept = [Sweep(label, found) for label, found in tables.items()]
    return swept, replace(report, done=done, failed=failed)


def _titles(workflow: Any) -> Iterator[str]:
    """Yield the titles of all Trade-off nodes, of a workflow in canvas or API form."""
    if isinstance(workflow, dict):
        if workflow.get("class_type") == SCORED_BY:
            yield workflow.get("_meta", {}).get("title") or SCORED_BY
        elif workflow.get("type") == SCORED_BY:
            yield workflow.get("title") or TITLE
    if isinstance(workflow, (dict, list)):
        for part in workflow.values() if isinstance(workflow, dict) else workflow:
            yield from _titles(part)


def _outcomes(out: Store) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield the id, the error and the texts by title of every picture in the table."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(out.path(TABLE), filesystem=out.files) as file:
        for batch in file.iter_batches(columns=["id", "error", "texts"]):
            for row in batch.to_pylist():
                yield row["id"], row["error"], row["texts"]
