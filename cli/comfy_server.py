"""A private headless ComfyUI server with this pack loaded, and a client for its API.

The server gets a temporary base directory of its own, so a user's models, inputs, outputs and
settings are neither read nor written.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

PACK = Path(__file__).resolve().parent.parent
PACK_NAME = "visage"

Progress = Callable[[str, int, int], None]
"""Called with a node's title, the step reached and the number of steps."""


class WorkflowError(ValueError):
    """A workflow that the server refused or that failed; the text says which node and why."""


class ComfyServer:
    """Client of one ComfyUI server at `url` (such as `http://127.0.0.1:8188`)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, route: str) -> dict:
        """The JSON answer of a GET route such as `/object_info`."""
        return asyncio.run(self._get(route))

    def upload(self, picture: Path) -> str:
        """Upload a picture into the server's input folder; returns the name the server gave it."""
        return asyncio.run(self._upload(picture))

    def download(self, saved: dict) -> bytes:
        """The file that an output entry (`filename`, `subfolder`, `type`) stands for."""
        return asyncio.run(self._download(saved))

    def run(self, prompt: dict, progress: Progress | None = None, timeout: float = 600) -> dict:
        """Queue a workflow in API form and wait for it; returns the outputs by node id.

        Raises WorkflowError when the server refuses the workflow, a node fails, or `timeout`
        seconds pass.
        """
        import aiohttp

        try:
            return asyncio.run(asyncio.wait_for(self._run(prompt, progress), timeout))
        except asyncio.TimeoutError as error:
            raise WorkflowError(f"the workflow did not end within {timeout:.0f} s") from error
        except aiohttp.ClientError as error:
            raise WorkflowError(f"lost the ComfyUI server at {self.url}: {error}") from error

    async def _get(self, route: str) -> dict:
        async with _session() as session, session.get(self.url + route) as response:
            response.raise_for_status()
            return await response.json()

    async def _upload(self, picture: Path) -> str:
        import aiohttp

        form = aiohttp.FormData()
        form.add_field("image", picture.read_bytes(), filename=picture.name)
        async with (
            _session() as session,
            session.post(self.url + "/upload/image", data=form) as response,
        ):
            response.raise_for_status()
            answer = await response.json()
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    async def _download(self, saved: dict) -> bytes:
        query = {key: saved[key] for key in ("filename", "subfolder", "type")}
        async with (
            _session() as session,
            session.get(self.url + "/view", params=query) as response,
        ):
            response.raise_for_status()
            return await response.read()

    async def _run(self, prompt: dict, progress: Progress | None) -> dict:
        client, job = uuid.uuid4().hex, str(uuid.uuid4())
        async with (
            _session() as session,
            session.ws_connect(f"{self.url}/ws?clientId={client}", max_msg_size=0) as socket_,
        ):
            request = {"prompt": prompt, "client_id": client, "prompt_id": job}
            async with session.post(self.url + "/prompt", json=request) as response:
                answer = await response.json()
                if response.status != 200 or answer.get("node_errors"):
                    raise WorkflowError(_refusal(answer, prompt))
            while True:
                event = await _next_event(socket_)
                if progress and event.get("type") == "progress":
                    step = event["data"]
                    progress(title_of(prompt, step["node"]), step["value"], step["max"])
                if event.get("type") in ("progress", "progress_state"):
                    continue
                # The history is the truth; websocket messages only say when it is worth a look.
                async with session.get(f"{self.url}/history/{job}") as response:
                    record = (await response.json()).get(job)
                if record:
                    _raise_failure(record["status"], prompt)
                    return record["outputs"]


@contextmanager
def comfy_server(comfyui: Path, ready_within: float = 240) -> Iterator[ComfyServer]:
    """Start ComfyUI from the folder `comfyui` with this pack, yield its client, stop it afterwards.

    Raises ValueError with the end of the server's log when it does not answer within
    `ready_within` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="visage-comfyui-") as folder:
        base = Path(folder)
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (base / name).mkdir()
        (base / "custom_nodes" / PACK_NAME).symlink_to(PACK, target_is_directory=True)
        port = _free_port()
        log = base / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                _command(comfyui, base, port),
                cwd=comfyui,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            server = ComfyServer(f"http://127.0.0.1:{port}")
            _wait_until_ready(server, process, log, ready_within)
            yield server
        finally:
            _stop(process)


def title_of(prompt: dict, node_id: str) -> str:
    """The title of a node of a workflow in API form; its class where it has none."""
    node = prompt.get(node_id, {})
    return node.get("_meta", {}).get("title") or node.get("class_type", node_id)


def node_titled(prompt: dict, title: str) -> tuple[str, dict]:
    """Id and node of the one node with that title in an API workflow; ValueError otherwise."""
    found = [(key, node) for key, node in prompt.items() if title_of(prompt, key) == title]
    if len(found) != 1:
        titles = ", ".join(sorted(title_of(prompt, key) for key in prompt))
        raise ValueError(f'{len(found)} nodes are titled "{title}"; the workflow has: {titles}')
    return found[0]


def _command(comfyui: Path, base: Path, port: int) -> list[str]:
    command = [sys.executable, str(comfyui / "main.py"), "--listen", "127.0.0.1"]
    command += ["--port", str(port), "--base-directory", str(base)]
    command += ["--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"]
    # A user's extra_model_paths.yaml may add folders of other packs: only this one is wanted.
    command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_NAME]
    command += ["--disable-api-nodes", "--disable-auto-launch", "--preview-method", "none"]
    return command + device_options()


def device_options() -> list[str]:
    """What ComfyUI's command line needs on this machine: `--cpu` where there is no accelerator."""
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return [] if accelerated else ["--cpu"]


def _end_of(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(
    server: ComfyServer, process: subprocess.Popen, log: Path, ready_within: float
) -> None:
    import aiohttp

    deadline = time.monotonic() + ready_within
    while time.monotonic() < deadline:
        if process.poll() is not None:
            code = process.returncode
            raise ValueError(
                f"ComfyUI stopped with exit code {code} while starting:\n{_end_of(log)}"
            )
        try:
            server.get("/system_stats")
            break
        except (aiohttp.ClientError, asyncio.TimeoutError):
            time.sleep(0.25)
    else:
        raise ValueError(f"ComfyUI was not ready after {ready_within:.0f} s:\n{_end_of(log)}")
    if "(IMPORT FAILED)" in log.read_text(errors="replace"):
        raise ValueError(f"ComfyUI could not load Visage:\n{_end_of(log)}")


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _session():
    import aiohttp

    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))


async def _next_event(socket_) -> dict:
    """The next text message; {} after two silent seconds, a preview, or a lost connection."""
    import aiohttp

    try:
        message = await socket_.receive(timeout=2)
    except asyncio.TimeoutError:
        return {}
    if message.type == aiohttp.WSMsgType.TEXT:
        return message.json()
    if message.type != aiohttp.WSMsgType.BINARY:
        await asyncio.sleep(1)
    return {}


def _refusal(answer: dict, prompt: dict) -> str:
    """Why `/prompt` refused a workflow, with the reason of every node."""
    lines = [answer.get("error", {}).get("message", "ComfyUI refused the workflow")]
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
