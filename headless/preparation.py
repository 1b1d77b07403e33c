"""Prepares a batch from the command line's arguments: the workflow, its items, what is missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from ..models.picture_folder import pictures_in
from .batch import Item, Place
from .client import ComfyServer, ServerLost
from .validation import problems
from .workflow import (
    declared_inputs,
    input_settings,
    open_workflow,
    parse_setting,
    picture_input,
    picture_inputs,
    read_workflow,
    set_input,
    titles_in,
)

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
"""The folder of the pictures that the shipped workflows name."""


def ask_servers(urls: list[str], warn: Callable[[str], None]) -> dict[str, dict]:
    """Each server's description of its nodes, by URL; servers that do not answer are left out.

    Raises ValueError when none answers.
    """
    known, silent = {}, []
    for url in dict.fromkeys(urls):
        try:
            known[url] = ComfyServer(url).get("/object_info")
        except ServerLost as lost:
            silent.append(f"{url} does not answer ({lost.reason})")
    if not known:
        raise ValueError(
            f"no ComfyUI server answers: {'; '.join(silent)}. Start one (`make comfy`) or name one "
            "with --server URL."
        )
    for url in silent:
        warn(f"{url}; going on without it")
    return known


def check_request(
    workflow: Path,
    settings: list[str],
    out: Path,
    place: Path | None = None,
    into: str | None = None,
) -> None:
    """Check what needs no server.

    Raises ValueError or FileNotFoundError for a bad workflow file, unknown titles or missing
    pictures, and OSError if the output folder is a file."""
    _require_folder(out)
    titles = titles_in(open_workflow(workflow))
    wanted = [parse_setting(setting)[0] for setting in settings] + ([into] if into else [])
    for title in wanted:
        if titles is not None and title not in titles:
            raise ValueError(
                f'0 nodes are titled "{title}"; the workflow has: {", ".join(sorted(titles))}'
            )
    if place is not None:
        pictures_in(place, out)


def _require_folder(out: Path) -> None:
    """Raise NotADirectoryError if `out` or one of its parents is a file."""
    there = next((part for part in (out, *out.parents) if part.exists()), None)
    if there is not None and not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))


def prepare(
    workflow: Path,
    settings: list[str],
    known: dict[str, dict],
    out: Path,
    folder: Path | None = None,
    into: str | None = None,
) -> tuple[dict, list[Item]]:
    """Return the workflow in API form with `settings` (`title.input=value`), and the items to run.

    Each picture of `folder`, or one picture, is an item and goes into the node titled `into`.
    Pictures that the workflow names and that only this machine has are uploaded, too. Raises
    ValueError that lists everything that a server lacks.
    """
    object_info = next(iter(known.values()))
    prompt = read_workflow(workflow, object_info)
    for setting in settings:
        set_input(prompt, setting, object_info)
    places = picture_inputs(prompt, object_info)
    own = {
        place: path
        for place in places
        if (path := _local(prompt, place, object_info, workflow.parent))
    }
    if folder is None:
        items = [Item(workflow.stem, own)]
    else:
        place = picture_input(prompt, object_info, into)
        items = [Item(name, {**own, place: path}) for name, path in pictures_in(folder, out)]
    given = frozenset(items[0].files)
    missing = [
        f"{url}: {problem}"
        for url, info in known.items()
        for problem in problems(prompt, info, given)
    ]
    if missing:
        raise ValueError("the workflow cannot run:\n  " + "\n  ".join(missing))
    return prompt, items


def _local(prompt: dict, place: Place, object_info: dict, beside: Path) -> Path | None:
    """The file on this machine of a picture that the server does not have."""
    node = prompt[place[0]]
    name = node["inputs"][place[1]]
    options = input_settings(declared_inputs(node, object_info)[place[1]]).get("options", [])
    return None if name in options else local_picture(name, beside)


def local_picture(name: str, beside: Path) -> Path | None:
    """The file that a workflow in the folder `beside` names: at that path, in that folder, or among
    the samples."""
    places = (Path(name), beside / name, SAMPLES / name)
    return next((path for path in places if path.is_file()), None)
