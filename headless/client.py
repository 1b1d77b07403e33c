"""A client of one ComfyUI server, over its HTTP and websocket API."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp

from .client_messages import ENDS, next_event, raise_failure, refusal, seconds_of
from .workflow import WorkflowError, title_of

Progress = Callable[[str, int, int], None]
"""Called with a node's title, the step reached and the number of steps; 0, 0 when it begins."""

LINGER = 0.2
"""Seconds to wait for the last messages of an ended workflow."""


class ServerLost(WorkflowError):
    """The server stopped answering. `began` says whether it had begun to run the workflow."""

    def __init__(self, url: str, reason: object, began: bool = False) -> None:
        super().__init__(f"lost the ComfyUI server at {url}: {reason}")
        self.reason = reason
        self.began = began


@dataclass(frozen=True)
class FinishedRun:
    """Outputs by node id, the seconds of the run without its time in the queue, and the messages of
    nodes as (title, text)."""

    outputs: dict
    seconds: float
    notes: list[tuple[str, str]]


class JobState(Enum):
    """The state of a workflow on its server."""

    UNKNOWN = 0
    WAITING = 1
    RUNNING = 2
    ENDED = 3


class ComfyClient:
    """Asynchronous client of the server at `url`; use it as `async with ComfyClient(url) as ...`.

    Every method raises ServerLost when the server does not answer and WorkflowError when it
    refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"

    async def __aenter__(self) -> ComfyClient:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(sock_connect=10, sock_read=120)
        )
        return self

    async def __aexit__(self, *_) -> None:
        await self._session.close()

    async def get(self, route: str) -> Any:
        """The JSON answer of a GET route such as `/object_info`."""
        return await self._ask("GET", route)

    async def upload(self, data: bytes, name: str, subfolder: str = "") -> str:
        """Put a picture into the server's input folder; returns the name the server gave it."""
        form = aiohttp.FormData()
        form.add_field("image", data, filename=name)
        form.add_field("subfolder", subfolder)
        answer = await self._ask("POST", "/upload/image", data=form)
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    async def download(self, saved: dict) -> bytes:
        """The file that an output entry (`filename`, `subfolder`, `type`) stands for."""
        query = {key: saved.get(key, "") for key in ("filename", "subfolder", "type")}
        return await self._call("GET", "/view", params=query)

    async def withdraw(self, job: str) -> None:
        """Remove a workflow from the queue, or interrupt it if it is running."""
        await self._call("POST", "/queue", json={"delete": [job]})
        await self._call("POST", "/interrupt", json={"prompt_id": job})

    async def wait_until_ready(self, patience: float) -> bool:
        """Wait for a server to come back; return False after `patience` seconds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                await self._call("GET", "/system_stats")
                return True
            except WorkflowError:
                await asyncio.sleep(1)
        return False

    async def run(
        self,
        prompt: dict,
        job: str | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
        canvas: dict | None = None,
    ) -> dict:
        """Run a workflow in API form and wait for it; return the outputs by node id."""
        return (await self.run_job(prompt, job, progress, timeout, canvas)).outputs

    async def run_job(
        self,
        prompt: dict,
        job: str | None = None,
        progress: Progress | None = None,
        timeout: float | None = None,
        canvas: dict | None = None,
    ) -> FinishedRun:
        """Run a workflow in API form and wait for it.

        If the server already has a workflow with the id `job`, it is not queued again: the method
        waits for its end and fetches the outputs. The workflow is interrupted after it has run
        `timeout` seconds, not counting its time in the queue. `canvas` is the canvas form, which
        ComfyUI writes into the pictures that it saves.
        """
        job = job or str(uuid.uuid4())
        start, notes = time.monotonic(), []
        # The job's id is also the client's, so that a later process can receive its messages.
        try:
            socket = await self._session.ws_connect(f"{self.url}/ws?clientId={job}", max_msg_size=0)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise ServerLost(self.url, error) from error
        async with socket:
            state, record = await self._find(job)
            if state is JobState.UNKNOWN:
                await self._submit(prompt, job, canvas)
            if state is not JobState.ENDED:
                record = await self._wait(socket, prompt, job, progress, timeout, notes)
        raise_failure(record["status"], prompt)
        outputs = {key: value for key, value in record["outputs"].items() if key in prompt}
        seconds = seconds_of(record["status"]["messages"]) or time.monotonic() - start
        return FinishedRun(outputs, round(seconds, 2), notes)

    async def _submit(self, prompt: dict, job: str, canvas: dict | None) -> None:
        request: dict[str, Any] = {"prompt": prompt, "client_id": job, "prompt_id": job}
        if canvas is not None:
            request["extra_data"] = {"extra_pnginfo": {"workflow": canvas}}
        answer = await self._ask("POST", "/prompt", json=request, refused=True)
        if "prompt_id" not in answer or answer.get("node_errors"):
            # If only one branch has errors, the server queues the others.
            if "prompt_id" in answer:
                await self.withdraw(job)
            raise WorkflowError(refusal(answer, prompt))

    async def _wait(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        prompt: dict,
        job: str,
        progress: Progress | None,
        timeout: float | None,
        notes: list[tuple[str, str]],
    ) -> dict:
        """Wait for the job; return its record in the history. Nodes' messages go into `notes`."""
        began = None
        hear = _Listening(prompt, progress, notes)
        try:
            while True:
                event = await next_event(socket)
                hear(event)
                late = began and timeout and time.monotonic() - began > timeout
                if began and event and not hear.ended and not late:
                    continue
                # The history decides; messages only tell when to look.
                state, record = await self._find(job)
                if state is JobState.ENDED:
                    while event and not hear.ended:  # read messages that are still there
                        event = await next_event(socket, LINGER)
                        hear(event)
                    return record
                if state is JobState.RUNNING:
                    began = began or time.monotonic()
                if state is JobState.UNKNOWN:
                    self._explain_absence(socket)
                if late:
                    await self.withdraw(job)
                    raise WorkflowError(f"did not end within {timeout:.0f} s and was interrupted")
        except ServerLost as lost:
            lost.began = lost.began or began is not None
            raise

    def _explain_absence(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        if socket.closed:
            raise ServerLost(self.url, "it was restarted and has forgotten the workflow")
        raise WorkflowError("somebody took the workflow off the server's queue")

    async def _find(self, job: str) -> tuple[JobState, dict]:
        """The state of a job, and its record if it has ended."""
        # The queue is asked first: a job that ends in between is then in the history.
        queue = await self.get("/queue")
        history = await self.get(f"/history/{job}")
        if job in history:
            return JobState.ENDED, history[job]
        if any(entry[1] == job for entry in queue["queue_running"]):
            return JobState.RUNNING, {}
        if any(entry[1] == job for entry in queue["queue_pending"]):
            return JobState.WAITING, {}
        return JobState.UNKNOWN, {}

    async def _ask(self, method: str, route: str, **options: Any) -> Any:
        """The JSON answer of a route, with the options of `_call`."""
        body = await self._call(method, route, **options)
        try:
            return json.loads(body)
        except ValueError:
            raise WorkflowError(f"{self.url}{route} answered no JSON: is it ComfyUI?") from None

    async def _call(self, method: str, route: str, refused: bool = False, **options: Any) -> bytes:
        """The body of an answer; with `refused` also of an answer with status 400."""
        try:
            async with self._session.request(method, self.url + route, **options) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise ServerLost(self.url, error or type(error).__name__) from error
        if response.status >= 500:
            raise ServerLost(self.url, f"{route} answered {response.status}", began=True)
        if response.status >= 400 and not (refused and response.status == 400):
            raise WorkflowError(f"{self.url}{route} answered {response.status} {response.reason}")
        return body


class ComfyServer:
    """Synchronous client of one ComfyUI server (`http://127.0.0.1:8188`)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, route: str) -> Any:
        """The JSON answer of a GET route such as `/object_info`."""
        return self._do(lambda client: client.get(route))

    def upload(self, picture: Path) -> str:
        """Upload a picture into the server's input folder; returns the name the server gave it."""
        return self._do(lambda client: client.upload(picture.read_bytes(), picture.name))

    def download(self, saved: dict) -> bytes:
        """The file that an output entry (`filename`, `subfolder`, `type`) stands for."""
        return self._do(lambda client: client.download(saved))

    def run(self, prompt: dict, progress: Progress | None = None, timeout: float = 600) -> dict:
        """Queue a workflow in API form and wait for it; return the outputs by node id.

        Raises WorkflowError when the server refuses the workflow, a node fails, `timeout` seconds
        pass, or the server is lost.
        """
        return self._do(lambda client: client.run(prompt, progress=progress, timeout=timeout))

    def _do(self, ask: Callable) -> Any:
        async def answer() -> Any:
            async with ComfyClient(self.url) as client:
                return await ask(client)

        # In a thread of its own, because a notebook already runs an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(answer())).result()


class _Listening:
    """Handles the events of one job: progress, and its nodes' messages."""

    def __init__(
        self, prompt: dict, progress: Progress | None, notes: list[tuple[str, str]]
    ) -> None:
        self.prompt, self.progress, self.notes = prompt, progress, notes
        self.began = self.ended = False

    def __call__(self, event: dict) -> None:
        kind, data = event.get("type"), event.get("data", {})
        node = data.get("node")
        self.ended = kind in ENDS or (kind == "executing" and node is None)
        # Texts go to all clients; those after this job's start belong to it.
        self.began = self.began or kind in ("execution_start", "executing")
        if node not in self.prompt:
            return
        if kind == "text" and self.began:
            self.notes.append((title_of(self.prompt, node), data["text"]))
        elif kind == "progress" and self.progress:
            self.progress(title_of(self.prompt, node), data["value"], data["max"])
        elif kind == "executing" and self.progress:
            self.progress(title_of(self.prompt, node), 0, 0)
