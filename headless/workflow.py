"""Workflows in API form: reading, addressing nodes by title, setting inputs.

The API form maps node ids to `{"class_type", "inputs", "_meta": {"title"}}`; an input is a value or
a link `[node id, output number]`. `object_info` is the server's own description of its nodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .canvas import is_canvas_form, to_api_form


class WorkflowError(ValueError):
    """A workflow that the server refused or that failed; the text says which node and why."""


def read_workflow(path: Path, object_info: dict) -> dict:
    """The workflow in a file, in API form; the canvas form is converted by `object_info`.

    Raises FileNotFoundError, or ValueError when the file is no workflow.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no workflow at {path}.")
    try:
        workflow = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if isinstance(workflow, dict) and is_canvas_form(workflow):
        return to_api_form(workflow, object_info)
    nodes = workflow.values() if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise ValueError(
            f"{path} is no ComfyUI workflow: neither the canvas form (Save) nor the API form "
            "(Export (API))."
        )
    return workflow


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


def declared_inputs(node: dict, object_info: dict) -> dict[str, list]:
    """Type and options of every input that the node's class declares, by name."""
    groups = object_info.get(node["class_type"], {}).get("input", {})
    return {**groups.get("required", {}), **groups.get("optional", {})}


def input_kind(declared: list) -> str:
    """The type of an input, such as "INT"; "COMBO" for a choice, in either spelling."""
    return "COMBO" if isinstance(declared[0], list) else declared[0]


def input_settings(declared: list) -> dict:
    """The settings of an input, such as its default and limits; for a choice also `options`."""
    settings = declared[1] if len(declared) > 1 else {}
    return {"options": declared[0], **settings} if isinstance(declared[0], list) else settings


def set_input(prompt: dict, setting: str, object_info: dict) -> None:
    """Set an input named as on the command line: `title.input=value`.

    The text becomes the type that the node declares. Raises ValueError for an unknown title or
    input, or a value of another type.
    """
    name, equals, text = setting.partition("=")
    title, dot, field = name.rpartition(".")
    if not equals or not dot:
        raise ValueError(f'"{setting}" is not of the form title.input=value, as in Prompt.text=...')
    node = node_titled(prompt, title)[1]
    inputs = declared_inputs(node, object_info)
    if field not in inputs:
        raise ValueError(
            f'"{title}" ({node["class_type"]}) has no input "{field}"; it has: '
            f"{', '.join(inputs) or 'none that the server knows'}"
        )
    node["inputs"][field] = _parse(text, inputs[field], name)


def _parse(text: str, declared: list, name: str) -> Any:
    kind = input_kind(declared)
    if kind == "COMBO" and input_settings(declared).get("multiselect"):
        return {"__value__": [choice.strip() for choice in text.split(",")]}
    try:
        if kind == "INT":
            return int(text)
        if kind == "FLOAT":
            return float(text)
        if kind == "BOOLEAN":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise ValueError(f'{name} takes {kind}, not "{text}"') from None
    if kind not in ("STRING", "COMBO"):
        raise ValueError(f"{name} takes a link of type {kind}, which a text cannot be")
    return text


def picture_inputs(prompt: dict, object_info: dict) -> list[tuple[str, str]]:
    """Node id and name of every input that takes the name of an uploaded picture."""
    return [
        (key, name)
        for key, node in prompt.items()
        for name, declared in declared_inputs(node, object_info).items()
        if input_settings(declared).get("image_upload")
        and isinstance(node["inputs"].get(name), str)
    ]


def picture_input(prompt: dict, object_info: dict, title: str | None) -> tuple[str, str]:
    """The input that a folder's pictures go into: of the node with that title, or else of the
    one titled "Picture", or else the only one.

    Raises ValueError when that does not single out one input.
    """
    found = picture_inputs(prompt, object_info)
    wanted = [place for place in found if title_of(prompt, place[0]) == (title or "Picture")]
    if not wanted and title is None:
        wanted = found
    if len(wanted) != 1:
        titles = ", ".join(title_of(prompt, key) for key, _ in found) or "none"
        raise ValueError(
            f"{len(wanted)} nodes could take the pictures of the folder. Nodes that load a "
            f"picture: {titles}. Name one with --into TITLE."
        )
    return wanted[0]
