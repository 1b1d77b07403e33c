"""A client of one ComfyUI server, over its HTTP and websocket API."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp

from .workflow import WorkflowError, title_of

Progress = Callable[[str, int, int], None]
"""Called with a node's title, the step reached and the number of steps; 0, 0 when it begins."""

SILENCE = 2.0
"""Seconds without a message after which the history is asked."""

ENDS = ("execution_success", "execution_error", "execution_interrupted")


class ServerLost(WorkflowError):
    """The server stopped answering. `began` says whether it had begun to run the workflow."""

    def __init__(self, url: str, reason: object, began: bool = False) -> None:
        super().__init__(f"lost the ComfyUI server at {url}: {reason}")
        self.began = began


class JobState(Enum):
    """Where a queued workflow is on its server."""

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
        return json.loads(await self._call("GET", route))

    async def upload(self, data: bytes, name: str, subfolder: str = "") -> str:
        """Put a picture into the server's input folder; returns the name the server gave it."""
        form = aiohttp.FormData()
        form.add_field("image", data, filename=name)
        form.add_field("subfolder", subfolder)
        answer = json.loads(await self._call("POST", "/upload/image", data=form))
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    async def download(self, saved: dict) -> bytes:
        """The file that an output entry (`filename`, `subfolder`, `type`) stands for."""
        query = {key: saved.get(key, "") for key in ("filename", "subfolder", "type")}
        return await self._call("GET", "/view", params=query)

    async def withdraw(self, job: str) -> None:
        """Take a workflow off the queue, or interrupt it where it runs."""
        await self._call("POST", "/queue", json={"delete": [job]})
        await self._call("POST", "/interrupt", json={"prompt_id": job})

    async def wait_until_ready(self, patience: float) -> bool:
        """Wait for a server that starts again; False after `patience` seconds."""
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
    ) -> dict:
        """Run a workflow in API form and wait for it; returns the outputs by node id.

        A workflow that the server already has under the id `job` is not queued again: its end is
        awaited, or its outputs are fetched. `timeout` counts the seconds that the workflow runs,
        not those it waits for others; after it the workflow is interrupted.
        """
        job = job or str(uuid.uuid4())
        # The id of the job serves as the client's, so that whoever takes it up hears its messages.
        try:
            socket = await self._session.ws_connect(f"{self.url}/ws?clientId={job}", max_msg_size=0)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise ServerLost(self.url, error) from error
        async with socket:
            state, record = await self._find(job)
            if state is JobState.UNKNOWN:
                await self._submit(prompt, job)
            if state is not JobState.ENDED:
                record = await self._wait(socket, prompt, job, progress, timeout)
        _raise_failure(record["status"], prompt)
        return {key: value for key, value in record["outputs"].items() if key in prompt}

    async def _submit(self, prompt: dict, job: str) -> None:
        request = {"prompt": prompt, "client_id": job, "prompt_id": job}
        answer = json.loads(await self._call("POST", "/prompt", json=request, refused=True))
        if "prompt_id" not in answer or answer.get("node_errors"):
            # With errors in one branch only, the server has queued the others.
            if "prompt_id" in answer:
                await self.withdraw(job)
            raise WorkflowError(_refusal(answer, prompt))

    async def _wait(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        prompt: dict,
        job: str,
        progress: Progress | None,
        timeout: float | None,
    ) -> dict:
        """The history's record of the job, once it has ended."""
        began = None
        try:
            while True:
                event = await _next_event(socket)
                kind, data = event.get("type"), event.get("data", {})
                if progress and kind == "progress" and data["node"] in prompt:
                    progress(title_of(prompt, data["node"]), data["value"], data["max"])
                if progress and kind == "executing" and data["node"] in prompt:
                    progress(title_of(prompt, data["node"]), 0, 0)
                ended = kind in ENDS or (kind == "executing" and data.get("node") is None)
                late = began and timeout and time.monotonic() - began > timeout
                if began and event and not ended and not late:
                    continue
                # The history is the truth; messages only say when it is worth a look.
                state, record = await self._find(job)
                if state is JobState.ENDED:
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
        """Where the job is, and its record once it has ended."""
        # The queue first: a job that ends between the two questions is in the history by then.
        queue = await self.get("/queue")
        history = await self.get(f"/history/{job}")
        if job in history:
            return JobState.ENDED, history[job]
        if any(entry[1] == job for entry in queue["queue_running"]):
            return JobState.RUNNING, {}
        if any(entry[1] == job for entry in queue["queue_pending"]):
            return JobState.WAITING, {}
        return JobState.UNKNOWN, {}

    async def _call(self, method: str, route: str, refused: bool = False, **options: Any) -> bytes:
        """The body of an answer; with `refused` also that of one with status 400."""
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
    """The same for plain code: a client of one ComfyUI server (`http://127.0.0.1:8188`)."""

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
        """Queue a workflow in API form and wait for it; returns the outputs by node id.

        Raises WorkflowError when the server refuses the workflow, a node fails, `timeout` seconds
        pass, or the server is lost.
        """
        return self._do(lambda client: client.run(prompt, progress=progress, timeout=timeout))

    def _do(self, ask: Callable) -> Any:
        async def answer() -> Any:
            async with ComfyClient(self.url) as client:
                return await ask(client)

        # In a thread of its own: a notebook has an event loop running already.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(answer())).result()


async def _next_event(socket: aiohttp.ClientWebSocketResponse) -> dict:
    """The next text message; {} after a silence, a preview, or a lost connection."""
    try:
        message = await socket.receive(timeout=SILENCE)
    except asyncio.TimeoutError:
        return {}
    if message.type == aiohttp.WSMsgType.TEXT:
        return message.json()
    if message.type != aiohttp.WSMsgType.BINARY:
        await asyncio.sleep(SILENCE / 4)
    return {}


def _refusal(answer: dict, prompt: dict) -> str:
    """Why `/prompt` refused a workflow, with the reason of every node."""
    error = answer.get("error", {})
    message = error.get("message") if isinstance(error, dict) else str(error)
    lines = [message or "ComfyUI refused the workflow"]
    for node_id, problem in answer.get("node_errors", {}).items():
        for error in problem["errors"]:
            title = title_of(prompt, node_id)
            lines.append(
                f"{title} ({problem['class_type']}): {error['message']} {error['details']}"
            )
    return "\n".join(lines)


def _raise_failure(status: dict, prompt: dict) -> None:
    for kind, data in status["messages"]:
        if kind == "execution_error":
            title = title_of(prompt, data["node_id"])
            text = data["exception_message"].strip()
            raise WorkflowError(f"{title} ({data['node_type']}): {text}")
        if kind == "execution_interrupted":
            raise WorkflowError("the workflow was interrupted")
