"""The engine of a worker, which runs the workflow on one picture after another."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from ..headless.results import ending_of
from ..headless.workflow import picture_input, set_input, title_of
from .job import ENGINES, Job


@dataclass(frozen=True)
class Made:
    """The results of a run: files by the end of their name (`_Result.png`), texts by title."""

    files: dict[str, bytes]
    texts: dict[str, str]


class Runner(Protocol):
    """Runs a job's workflow on one picture at a time."""

    prompt: dict

    def run(self, name: str, picture: bytes, settings: Mapping[str, Any]) -> Made:
        """Run the workflow on the contents of a picture's file, with `title.input` settings.

        `name` is the file's name. Raises ValueError, naming the node, for a refused input.
        """
        ...

    def close(self) -> None: ...


def make_runner(job: Job) -> Runner:
    """Make the runner of a job's engine.

    Raises ValueError for an unknown engine, and ValueError or FileNotFoundError if it fails.
    """
    if job.engine not in ENGINES:
        raise ValueError(f"there is no engine {job.engine!r}; there are {', '.join(ENGINES)}")
    if job.engine == "diffusers":
        return DiffusersRunner(job)
    from .comfyui_runner import ComfyUIRunner

    return ComfyUIRunner(job)


class DiffusersRunner:
    """Runs a workflow by the diffusers engine; see `graph`."""

    def __init__(self, job: Job) -> None:
        from .graph import Graph, object_info
        from .operators import ModelFolders, all_operators

        self._files = dict(job.files)
        models = ModelFolders(Path(job.models) if job.models else None)
        operators = all_operators(self._files, models)
        self._info = object_info(operators)
        self.prompt = job.prompt(self._info)
        self._place = picture_input(self.prompt, self._info, job.into)
        self._graph = Graph(self.prompt, operators, frozenset({self._place[0]}))
        self._previews = job.previews
        self._graph.prepare()

    def run(self, name: str, picture: bytes, settings: Mapping[str, Any]) -> Made:
        import torch

        from .pictures import write_png

        node, field = self._place
        given = given_inputs(self.prompt, settings, self._info)
        given.setdefault(node, {})[field] = name
        self._files[name] = picture
        try:
            with torch.inference_mode():
                results = self._graph.run(given)
        finally:
            del self._files[name]
        used = with_inputs(self.prompt, given)
        groups = [results.saved, *([results.previewed] if self._previews else [])]
        files: dict[str, bytes] = {}
        for saved in groups:
            for key, images in saved.items():
                for image in images:
                    ending = ending_of(title_of(used, key), ".png")
                    add_file(files, ending, write_png(image, used))
        return Made(files, texts_by_title(used, results.texts))

    def close(self) -> None:
        """Do nothing; this engine has nothing to release."""


def given_inputs(
    prompt: dict, settings: Mapping[str, Any], object_info: dict
) -> dict[str, dict[str, Any]]:
    """Convert a picture's settings (`title.input`) to inputs by node id.

    Raises ValueError for a title or an input that the workflow does not have.
    """
    if not settings:
        return {}
    changed = json.loads(json.dumps(prompt))
    for name, value in settings.items():
        set_input(changed, f"{name}={value}", object_info)
    return {
        key: {
            name: value
            for name, value in node["inputs"].items()
            if value != prompt[key]["inputs"].get(name)
        }
        for key, node in changed.items()
        if node["inputs"] != prompt[key]["inputs"]
    }


def with_inputs(prompt: dict, given: Mapping[str, Mapping[str, Any]]) -> dict:
    """Return a copy of a workflow in API form with some inputs changed."""
    return {
        key: {**node, "inputs": {**node["inputs"], **given.get(key, {})}}
        for key, node in prompt.items()
    }


def add_file(files: dict[str, bytes], ending: str, data: bytes) -> None:
    """Add a file by the end of its name; where that is taken a number is added, as by
    `headless.results.keep`."""
    number, name, wanted = 1, ending, PurePath(ending)
    while name in files:
        number += 1
        name = wanted.with_stem(f"{wanted.stem}-{number}").name
    files[name] = data


def texts_by_title(prompt: dict, texts: Mapping[str, list[str]]) -> dict[str, str]:
    """The texts that nodes showed, by title."""
    return {title_of(prompt, key): "\n".join(map(str, shown)) for key, shown in texts.items()}


def numbers_in(texts: Mapping[str, str]) -> dict[str, float]:
    """The figures of texts that are JSON objects, or the means of lists of them, by
    `title.name`."""
    found: dict[str, list[float]] = {}
    for title, text in texts.items():
        try:
            parsed = json.loads(text)
        except ValueError:
            continue
        rows = parsed if isinstance(parsed, list) else [parsed]
        for row in filter(lambda row: isinstance(row, dict), rows):
            for name, value in row.items():
                if isinstance(value, (int, float)) and math.isfinite(value):
                    found.setdefault(f"{title}.{name}", []).append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}
