"""From the command line's words to a batch: the workflow, its items, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .batch import Item, Place, pictures_in
from .client import ComfyServer, ServerLost
from .validation import problems
from .workflow import (
    declared_inputs,
    input_settings,
    picture_input,
    picture_inputs,
    read_workflow,
    set_input,
)

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
"""The pictures that the shipped workflows name."""


def ask_servers(urls: list[str], warn: Callable[[str], None]) -> dict[str, dict]:
    """What each server says of its nodes, by URL; servers that do not answer are left out.

    Raises ValueError when none answers.
    """
    known = {}
    for url in dict.fromkeys(urls):
        try:
            known[url] = ComfyServer(url).get("/object_info")
        except ServerLost as lost:
            warn(f"{lost}; going on without it")
    if not known:
        raise ValueError(
            "no ComfyUI server answers. Start one (`make comfy`) or name one with --server URL."
        )
    return known


def prepare(
    workflow: Path,
    settings: list[str],
    known: dict[str, dict],
    out: Path,
    folder: Path | None = None,
    into: str | None = None,
) -> tuple[dict, list[Item]]:
    """The workflow in API form with `settings` (`title.input=value`) made, and the items to run.

    `folder` gives one item for each picture in it, put into the node titled `into`. Pictures that
    the workflow names, that no server has and this machine does, are uploaded as well. Raises
    ValueError that lists whatever any server lacks.
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
    """This machine's file for a picture that the server does not have."""
    node = prompt[place[0]]
    name = node["inputs"][place[1]]
    options = input_settings(declared_inputs(node, object_info)[place[1]]).get("options", [])
    if name in options:
        return None
    places = (Path(name), beside / name, SAMPLES / name)
    return next((path for path in places if path.is_file()), None)
