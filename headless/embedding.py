"""The canvas form of a run, so that a result dropped on the page opens the workflow that made it.

ComfyUI writes the contents of `extra_pnginfo` into every picture that it saves. A run differs from
the workflow's file by the inputs that were set and the pictures that were uploaded. The place of
such a value in the canvas form is found by trial: it is right if the canvas then converts to
exactly what ran.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from .canvas import is_canvas_form, to_api_form

Place = tuple[str, str]


def read_canvas(path: Path) -> dict | None:
    """The canvas form in a workflow's file, or None if it holds the API form."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    return workflow if is_canvas_form(workflow) else None


def canvas_of_run(canvas: dict, prompt: dict, object_info: dict) -> dict | None:
    """Return `canvas` with the values of `prompt`, which was made from it.

    Returns None if a value has no place in the canvas, such as one that replaces a link. The page
    then opens the API form, which ComfyUI also saves.
    """
    canvas = deepcopy(canvas)
    for place in _differences(canvas, prompt, object_info):
        if place in _differences(canvas, prompt, object_info):
            _write(canvas, place, prompt, object_info)
    return None if _differences(canvas, prompt, object_info) else canvas


def _differences(canvas: dict, prompt: dict, object_info: dict) -> set[Place]:
    """Node id and name of the inputs in which the canvas differs from what ran."""
    form = to_api_form(canvas, object_info)
    names = {key: {*node["inputs"]} for key, node in prompt.items()}
    for key, node in form.items():
        names.setdefault(key, set()).update(node["inputs"])
    return {
        (key, name)
        for key, inputs in names.items()
        for name in inputs
        if key not in form
        or key not in prompt
        or form[key]["inputs"].get(name) != prompt[key]["inputs"].get(name)
    }


def _write(canvas: dict, place: Place, prompt: dict, object_info: dict) -> None:
    """Put a value in its place in the canvas; nothing changes if there is none."""
    key, name = place
    value = prompt.get(key, {}).get("inputs", {}).get(name)
    before = _differences(canvas, prompt, object_info)
    for node in _holders(canvas, key):
        named = node.pop("widgets_values_named", None)
        values = node.get("widgets_values") or []
        for slot in values if isinstance(values, dict) else range(len(values)):
            saved, values[slot] = values[slot], _as_saved(value, values[slot])
            if _try_differences(canvas, prompt, object_info) <= before - {place}:
                if named is not None:
                    node["widgets_values_named"] = {**named, name: values[slot]}
                return
            values[slot] = saved
        if named is not None:
            node["widgets_values_named"] = named


def _try_differences(canvas: dict, prompt: dict, object_info: dict) -> set[Place]:
    try:
        return _differences(canvas, prompt, object_info)
    except (ValueError, TypeError):
        return {("", "a value of another type")}


def _as_saved(value: Any, before: Any) -> Any:
    """A value in the canvas's form: choices are a list if they were one before."""
    if isinstance(value, dict) and "__value__" in value:
        return value["__value__"]
    if isinstance(before, list) and isinstance(value, str):
        return [choice.strip() for choice in value.split(",")]
    return value


def _holders(canvas: dict, key: str) -> Iterator[dict]:
    """The node `outer:inner` and the subgraph nodes around it, the innermost first."""
    definitions = (canvas.get("definitions") or {}).get("subgraphs") or []
    subgraphs = {definition["id"]: definition for definition in definitions}
    graph, found = canvas, []
    for number in key.split(":"):
        node = next((node for node in graph["nodes"] if str(node["id"]) == number), None)
        if node is None:
            break
        found.insert(0, node)
        graph = subgraphs.get(node["type"], {"nodes": []})
    yield from found
