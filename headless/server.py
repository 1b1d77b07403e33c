"""A private headless ComfyUI server with this pack loaded.

The server has a temporary base directory of its own, so that a user's models, inputs, outputs and
settings are neither read nor changed.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from .client import ComfyServer
from .workflow import WorkflowError

PACK = Path(__file__).resolve().parent.parent
PACK_NAME = "visage"
FOLDERS = ("custom_nodes", "input", "output", "temp", "user", "models")


@contextmanager
def comfy_server(
    comfyui: Path, ready_within: float = 240, options: Sequence[str] = ()
) -> Iterator[ComfyServer]:
    """Start ComfyUI from the folder `comfyui` with this pack, yield its client, stop it afterwards.

    `options` are added to ComfyUI's command line. Raises ValueError with the end of the server's
    log when it does not answer within `ready_within` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="visage-comfyui-") as folder:
        base, port = Path(folder), free_port()
        process = start_comfyui(comfyui, base, port, options)
        try:
            server = ComfyServer(f"http://127.0.0.1:{port}")
            wait_until_ready(server, process, base / "server.log", ready_within)
            yield server
        finally:
            stop_comfyui(process)


def start_comfyui(
    comfyui: Path, base: Path, port: int, options: Sequence[str] = ()
) -> subprocess.Popen:
    """Start ComfyUI on `port` with the base directory `base`; its log is `base`/server.log."""
    for name in FOLDERS:
        (base / name).mkdir(exist_ok=True)
    pack = base / "custom_nodes" / PACK_NAME
    if not pack.exists():
        pack.symlink_to(PACK, target_is_directory=True)
    with (base / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            [*_command(comfyui, base, port), *options],
            cwd=comfyui,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def device_options() -> list[str]:
    """ComfyUI's options for this machine: `--cpu` if there is no accelerator."""
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return [] if accelerated else ["--cpu"]


def _command(comfyui: Path, base: Path, port: int) -> list[str]:
    command = [sys.executable, str(comfyui / "main.py"), "--listen", "127.0.0.1"]
    command += ["--port", str(port), "--base-directory", str(base)]
    command += ["--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"]
    # A user's extra_model_paths.yaml may add other packs, so all but this one are disabled.
    command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_NAME]
    command += ["--disable-api-nodes", "--disable-auto-launch", "--preview-method", "none"]
    return command + device_options()


def _end_of(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def wait_until_ready(
    server: ComfyServer, process: subprocess.Popen, log: Path, ready_within: float
) -> None:
    """Wait for a server of `start_comfyui`. Raises ValueError with the end of its log."""
    deadline = time.monotonic() + ready_within
    while time.monotonic() < deadline:
        if process.poll() is not None:
            code = process.returncode
            _refuse_missing_package(log)
            raise ValueError(
                f"ComfyUI stopped with exit code {code} while starting:\n{_end_of(log)}"
            )
        try:
            server.get("/system_stats")
            break
        except WorkflowError:
            time.sleep(0.25)
    else:
        raise ValueError(f"ComfyUI was not ready after {ready_within:.0f} s:\n{_end_of(log)}")
    if "(IMPORT FAILED)" in log.read_text(errors="replace"):
        raise ValueError(f"ComfyUI could not load Visage:\n{_end_of(log)}")


def _refuse_missing_package(log: Path) -> None:
    """Raise ValueError if ComfyUI ended because this Python lacks a package."""
    missing = re.findall(r"^ModuleNotFoundError: No module named '([^']+)'", _end_of(log), re.M)
    if missing:
        raise ValueError(
            f"ComfyUI needs the Python package {missing[-1]}, which {sys.executable} does not "
            "have: install ComfyUI's requirements.txt into that Python"
        )


def stop_comfyui(process: subprocess.Popen) -> None:
    """Stop a server, by force after 15 s."""
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
