"""Runs one workflow for many items on one or several servers and fetches the results.

A batch that died is continued by starting it again: finished items stay, those that a server still
works on are awaited, and only the rest is queued.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from .client import ComfyClient, ServerLost
from .file_names import date_files
from .manifest import Entry, Manifest
from .pictures import as_uploaded
from .results import keep, saved_files
from .workflow import WorkflowError, title_of

# Items queued on a server at a time, so that it is busy while results and pictures are transferred.
AT_ONCE = 2
LOSSES = 3
# When a server is lost, its running item counts as this many losses, a waiting one as one.
BLAME = 3
UPLOADS = "visage"

Place = tuple[str, str]
"""Node id and input name."""


@dataclass
class Item:
    """One run of the workflow.

    `name` is the result's file name with folders and without suffix. `files` are uploaded, and
    their names put into the inputs."""

    name: str
    files: dict[Place, Path] = field(default_factory=dict)
    key: str = ""
    blame: int = 0


@dataclass(frozen=True)
class Settings:
    """How a batch runs.

    `timeout` is the seconds that an item may run (None: no limit), `patience` those to wait for a
    lost server. With `previews`, previews are fetched as well as saved files."""

    timeout: float | None = None
    patience: float = 120.0
    previews: bool = False


class Listener(Protocol):
    """Receives the events of a batch."""

    def step(self, item: str, server: str, title: str, step: int, steps: int) -> None:
        """A node of an item has reached `step` of `steps`; 0 of 0 when it begins."""

    def finished(self, entry: Entry, skipped: bool) -> None:
        """An item is done or failed, or was `skipped` because an earlier run had done it."""

    def warn(self, text: str) -> None:
        """Something went wrong, but the batch continues."""


def run_batch(
    prompt: dict,
    items: list[Item],
    urls: list[str],
    out: Path,
    settings: Settings,
    listener: Listener,
    canvas_of: Callable[[dict], dict | None] = lambda prompt: None,
) -> list[Entry]:
    """Run a workflow in API form for every item; return their last entries in the same order.

    A failed item is reported and the batch continues. Items that `out` already holds, made from the
    same workflow and pictures, are skipped. `canvas_of(prompt)` returns the canvas form to write
    into an item's files, or None. Raises OSError when the state of the batch cannot be noted.
    """
    out.mkdir(parents=True, exist_ok=True)
    batch = _Batch(prompt, items, urls, Manifest(out), settings, listener, canvas_of)
    asyncio.run(batch.run())
    return [batch.entries[id(item)] for item in items]


class _Batch:
    def __init__(
        self,
        prompt: dict,
        items: list[Item],
        urls: list[str],
        manifest: Manifest,
        settings: Settings,
        listener: Listener,
        canvas_of: Callable[[dict], dict | None],
    ) -> None:
        self.prompt, self.manifest, self.canvas_of = prompt, manifest, canvas_of
        self.settings, self.listener = settings, listener
        self.entries: dict[int, Entry] = {}
        self.todo: asyncio.Queue[Item] = asyncio.Queue()
        # Items that an earlier run had queued on a server.
        self.left_with: dict[str, deque[Item]] = {url: deque() for url in urls}
        self.unfinished = 0
        self.all_finished = asyncio.Event()
        for item in items:
            self._plan(item)

    def _plan(self, item: Item) -> None:
        item.key = _key(self.prompt, item, self.settings.previews)
        earlier = self.manifest.find(item.name, item.key)
        if earlier and earlier.state == "done":
            self._tell(item, earlier, skipped=True)
            return
        self.unfinished += 1
        if earlier and earlier.state == "queued" and earlier.server in self.left_with:
            self.left_with[earlier.server].append(item)
        else:
            self.todo.put_nowait(item)

    async def run(self) -> None:
        if not self.unfinished:
            return
        work = asyncio.ensure_future(_together(self._serve(url) for url in self.left_with))
        finished = asyncio.ensure_future(self.all_finished.wait())
        try:
            await asyncio.wait({work, finished}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                while not self.todo.empty():
                    item = self.todo.get_nowait()
                    self._finish(item, _failed(item, "no server was left to run it"))
        finally:
            finished.cancel()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _serve(self, url: str) -> None:
        """Run items on one server until that server is given up."""
        async with ComfyClient(url) as client:
            await _together(self._work(client, url) for _ in range(AT_ONCE))

    async def _work(self, client: ComfyClient, url: str) -> None:
        left = self.left_with[url]
        patience = self.settings.patience
        while True:
            item = left.popleft() if left else await self.todo.get()
            try:
                entry = await self._run(client, url, item)
            except ServerLost as lost:
                self._try_again(item, lost)
                if not await client.wait_until_ready(patience):
                    self.listener.warn(f"{url} did not come back within {patience:.0f} s")
                    while left:
                        self.todo.put_nowait(left.popleft())
                    return
                continue
            except (WorkflowError, OSError) as error:
                entry = _failed(item, str(error))
            self._finish(item, entry)

    async def _run(self, client: ComfyClient, url: str, item: Item) -> Entry:
        """Run one item on a server, or await the run that the server already has."""
        earlier = self.manifest.find(item.name, item.key)
        if earlier and earlier.state == "queued" and earlier.server == url:
            entry = earlier
        else:
            entry = Entry(item.name, item.key, "queued", url, str(uuid.uuid4()))
            # Noted before it is queued, so that after a crash the server is asked for it.
            self.manifest.note(entry)
        prompt = deepcopy(self.prompt)
        date_files(prompt, datetime.now())
        for (node, name), path in item.files.items():
            try:
                data, file_name = as_uploaded(path)
            except ValueError as error:
                raise WorkflowError(str(error)) from error
            uploaded = await client.upload(data, file_name, UPLOADS)
            prompt[node]["inputs"][name] = uploaded

        def progress(title: str, step: int, steps: int) -> None:
            self.listener.step(item.name, url, title, step, steps)

        try:
            run = await client.run_job(
                prompt, entry.job, progress, self.settings.timeout, self.canvas_of(prompt)
            )
        except asyncio.CancelledError:
            # Where this cannot be noted, the next run takes the job for queued: it stays so.
            self.manifest.note(replace(entry, state="failed", error="stopped"))
            await client.withdraw(entry.job)
            raise
        files = await self._fetch(client, item, run.outputs)
        texts = {
            title_of(prompt, node): [str(line) for line in shown["text"]]
            for node, shown in run.outputs.items()
            if shown.get("text")
        }
        return replace(
            entry,
            state="done",
            files=files,
            texts=texts,
            notes=[f"{title}: {text}" for title, text in run.notes],
            seconds=run.seconds,
        )

    async def _fetch(self, client: ComfyClient, item: Item, outputs: dict) -> dict[str, int]:
        """Download the results of a job; return the size of each file by its name."""
        files: dict[str, int] = {}
        previews = self.settings.previews
        async for ending, data in saved_files(self.prompt, outputs, client.download, previews):
            name = keep(data, self.manifest.folder, item.name + ending, files)
            files[name] = len(data)
        return files

    def _finish(self, item: Item, entry: Entry) -> None:
        # Noted first: what was announced must be found by the next run.
        self.manifest.note(entry)
        self._tell(item, entry)
        self.unfinished -= 1
        if not self.unfinished:
            self.all_finished.set()

    def _tell(self, item: Item, entry: Entry, skipped: bool = False) -> None:
        self.entries[id(item)] = entry
        self.listener.finished(entry, skipped)

    def _try_again(self, item: Item, lost: ServerLost) -> None:
        """Put an item whose server was lost back in the queue; after too many losses it fails."""
        item.blame += BLAME if lost.began else 1
        if item.blame < LOSSES * BLAME:
            self.listener.warn(f"{item.name}: {lost}; trying again")
            self.todo.put_nowait(item)
        else:
            reason = f"{lost}; given up, because its server was lost again and again"
            self._finish(item, _failed(item, reason))


def _failed(item: Item, reason: str) -> Entry:
    return Entry(item.name, item.key, "failed", error=reason)


async def _together(parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines at once. If one fails, the others are cancelled, and end before it raises."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _key(prompt: dict, item: Item, previews: bool) -> str:
    """A hash of all that the result depends on: the workflow, the contents of its files, and
    whether previews are fetched."""
    contents = {
        f"{node}.{name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for (node, name), path in item.files.items()
    }
    # Not named where they are not fetched, so that the keys of earlier manifests stay valid.
    whole = json.dumps([prompt, contents, *(["previews"] if previews else [])], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
