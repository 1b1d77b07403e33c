"""A worker's own headless ComfyUI, which keeps its models loaded and ends with the worker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ..engines.comfyui.location import find_comfyui
from ..headless.client import ComfyClient, ComfyServer, ServerLost
from ..headless.results import saved_files
from ..headless.server import free_port, start_comfyui, stop_comfyui, wait_until_ready
from ..headless.validation import problems
from ..headless.workflow import picture_input, picture_inputs
from .job import Job
from .runner import Made, add_file, given_inputs, texts_by_title, with_inputs

READY_WITHIN = 600.0
STARTS = 2
LOSSES = 3
PICTURES = "visage"
GIVEN = "visage_given"
# Waits for the end of its standard input, which comes whenever and however the worker ends.
LEASH = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.kill(int(sys.argv[1]), signal.SIGKILL)
except OSError:
    pass
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class ComfyUIRunner:
    """Runs a workflow on a private ComfyUI with this pack.

    Raises ValueError or FileNotFoundError when there is no ComfyUI, it does not start, or it lacks
    something that the workflow needs.
    """

    def __init__(self, job: Job) -> None:
        comfyui = Path(job.comfyui) if job.comfyui else find_comfyui()
        if comfyui is None:
            raise FileNotFoundError(
                "there is no ComfyUI in COMFYUI_PATH or ~/comfy/ComfyUI: `make comfyui` gets it, "
                "--comfyui names another folder, and --engine diffusers needs none"
            )
        self._comfyui, self._job = comfyui, job
        self._base = Path(tempfile.mkdtemp(prefix="visage-batch-"))
        self._loop = asyncio.new_event_loop()
        self._leash: subprocess.Popen | None = None
        try:
            self._start()
            info = ComfyServer(self._url).get("/object_info")
            self._info = info
            self.prompt = job.prompt(info)
            given = put_pictures(self.prompt, info, job.files, self._base / "input")
            self._place = picture_input(self.prompt, info, job.into)
            missing = problems(self.prompt, info, frozenset({*given, self._place}))
            if missing:
                raise ValueError("the workflow cannot run: " + "; ".join(missing))
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        models = Path(self._job.models) if self._job.models else self._comfyui / "models"
        folders = [f for f in sorted(models.iterdir()) if f.is_dir()] if models.is_dir() else []
        paths = self._base / "models.yaml"
        names = {folder.name: folder.name for folder in folders}
        # JSON is valid YAML.
        paths.write_text(json.dumps({"visage": {"base_path": str(models), **names}}))
        for attempt in range(STARTS):
            port = free_port()
            options = ("--extra-model-paths-config", str(paths)) if names else ()
            self._process = start_comfyui(self._comfyui, self._base, port, options)
            self._hold()
            self._url = f"http://127.0.0.1:{port}"
            try:
                log = self._base / "server.log"
                wait_until_ready(ComfyServer(self._url), self._process, log, READY_WITHIN)
                return
            except ValueError:
                stop_comfyui(self._process)
                # Another worker on this machine may have taken the port since it was chosen.
                if attempt + 1 == STARTS:
                    raise

    def _hold(self) -> None:
        self._release()
        self._leash = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", LEASH, str(self._process.pid), str(self._base)],
            stdin=subprocess.PIPE,
        )

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.kill()
            self._leash.wait()
            if self._leash.stdin is not None:
                self._leash.stdin.close()
            self._leash = None

    def run(self, name: str, picture: bytes, settings: Mapping[str, Any]) -> Made:
        """See `Runner.run`. If ComfyUI dies it is restarted; a picture that kills it repeatedly is
        refused."""
        node, field = self._place
        given = given_inputs(self.prompt, settings, self._info)
        given.setdefault(node, {})[field] = f"{PICTURES}/{name}"
        prompt = with_inputs(deepcopy(self.prompt), given)
        for loss in range(1, LOSSES + 1):
            target = self._base / "input" / PICTURES / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(picture)
            try:
                return self._loop.run_until_complete(self._run(prompt))
            except ServerLost as lost:
                if loss == LOSSES:
                    raise ValueError(f"given up after it took ComfyUI down: {lost}") from lost
                stop_comfyui(self._process)
                self._start()
            finally:
                target.unlink(missing_ok=True)
        raise AssertionError("the last loss is raised")

    async def _run(self, prompt: dict) -> Made:
        job = str(uuid.uuid4())
        client = _Private(self._url)
        async with client:
            outputs = await client.run(prompt, job, timeout=self._job.timeout)
            files: dict[str, bytes] = {}
            previews = self._job.previews
            async for ending, data in saved_files(prompt, outputs, client.download, previews):
                add_file(files, ending, data)
            await client.forget(job)
        self._clean(outputs)
        texts = {key: shown["text"] for key, shown in outputs.items() if shown.get("text")}
        return Made(files, texts_by_title(prompt, texts))

    def _clean(self, outputs: dict) -> None:
        """Remove the files of earlier runs, which would fill the disk in a long batch.

        Those of the last run stay, because for an equal picture ComfyUI returns the same files.
        """
        last = {
            (thing["type"], thing.get("subfolder", ""), thing["filename"])
            for shown in outputs.values()
            for things in shown.values()
            for thing in things
            if isinstance(thing, dict) and "filename" in thing
        }
        kept = {self._base / kind / folder / name for kind, folder, name in last}
        for kind in ("output", "temp"):
            for path in (self._base / kind).rglob("*"):
                if path.is_file() and path not in kept:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        if hasattr(self, "_process"):
            stop_comfyui(self._process)
        self._release()
        self._loop.close()
        shutil.rmtree(self._base, ignore_errors=True)


def put_pictures(
    prompt: dict, object_info: dict, files: Mapping[str, bytes], inputs: Path
) -> set[tuple[str, str]]:
    """Write the pictures that a workflow names into ComfyUI's input folder and name them there.

    `files` holds their contents by name. Returns the inputs that were changed in `prompt`.
    """
    given = set()
    for key, name in picture_inputs(prompt, object_info):
        named = prompt[key]["inputs"][name]
        if named in files:
            # In a folder by the contents, because pictures of several folders may share a name.
            folder = f"{GIVEN}/{hashlib.sha256(files[named]).hexdigest()[:16]}"
            target = inputs / folder / Path(named).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[named])
            prompt[key]["inputs"][name] = f"{folder}/{target.name}"
            given.add((key, name))
    return given


class _Private(ComfyClient):
    """A client of a server that has no other clients."""

    async def forget(self, job: str) -> None:
        """Remove a finished job from the server's memory."""
        await self._call("POST", "/history", json={"delete": [job]})
