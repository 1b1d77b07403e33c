"""Workflows in API form: reading, addressing nodes by title, setting inputs.

The API form maps node ids to `{"class_type", "inputs", "_meta": {"title"}}`; an input is a value or
a link `[node id, output number]`. `object_info` is the server's description of its nodes.
"""

from __future__ import annotations

import difflib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from .canvas import in_api_form, is_canvas_form, to_api_form

SHIPPED = Path(__file__).resolve().parent.parent / "workflows"
"""The workflows that come with the pack."""


class WorkflowError(ValueError):
    """A workflow was refused or failed; the message says which node and why."""


def read_workflow(path: Path, object_info: dict) -> dict:
    """Read a workflow's file in API form; see `open_workflow` and `as_prompt`.

    Raises FileNotFoundError, or ValueError when the file is no workflow or cannot be converted.
    """
    return as_prompt(open_workflow(path), object_info)


def as_prompt(workflow: dict, object_info: dict) -> dict:
    """A copy of a workflow in API form; the canvas form is converted by `object_info`.

    Required inputs that an older version of a node did not have get their defaults. Raises
    ValueError for a canvas that cannot be converted.
    """
    workflow = deepcopy(workflow)
    if is_canvas_form(workflow):
        return to_api_form(workflow, object_info)
    _fill_defaults(workflow, object_info)
    return workflow


def _fill_defaults(prompt: dict, object_info: dict) -> None:
    for node in prompt.values():
        required = object_info.get(node["class_type"], {}).get("input", {}).get("required", {})
        for name, declared in required.items():
            settings = input_settings(declared)
            if name not in node.setdefault("inputs", {}) and "default" in settings:
                node["inputs"][name] = in_api_form(settings["default"], settings)


def open_workflow(path: Path) -> dict:
    """Read a workflow's file in the form that it has.

    Raises FileNotFoundError, or ValueError when the file is no workflow.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no workflow at {path}.{_meant(path)}")
    try:
        workflow = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if isinstance(workflow, dict) and is_canvas_form(workflow):
        return workflow
    nodes = workflow.values() if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise ValueError(
            f"{path} is no ComfyUI workflow: neither the canvas form (Save) nor the API form "
            "(Export (API))."
        )
    return workflow


def _meant(path: Path) -> str:
    """A suggestion for the name of a file that does not exist."""
    near = [*path.parent.glob("*.json"), *Path("workflows").glob("*.json"), *SHIPPED.glob("*.json")]
    by_name = {found.stem: found for found in reversed(near)}
    names = difflib.get_close_matches(path.stem, by_name, n=1, cutoff=0.75)
    if names:
        return f" Did you mean {by_name[names[0]]}?"
    shipped = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.json")))
    return f" {SHIPPED} has: {shipped}."


def titles_in(workflow: dict) -> set[str] | None:
    """The titles of a workflow's nodes in either form.

    None if only a server knows them: a canvas node without a title has its class's display name."""
    if not is_canvas_form(workflow):
        return {title_of(workflow, key) for key in workflow}
    subgraphs = (workflow.get("definitions") or {}).get("subgraphs") or []
    nodes = [node for graph in (workflow, *subgraphs) for node in graph["nodes"]]
    if not all(node.get("title") for node in nodes):
        return None
    return {node["title"] for node in nodes}


def title_of(prompt: dict, node_id: str) -> str:
    """The title of a node of a workflow in API form, or its class if it has none."""
    node = prompt.get(node_id, {})
    return node.get("_meta", {}).get("title") or node.get("class_type", node_id)


def node_titled(prompt: dict, title: str) -> tuple[str, dict]:
    """Id and node of the only node with a title in an API workflow. Raises ValueError."""
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
    """The type of an input, such as "INT"; "COMBO" for a choice, in either spelling.

    For one that takes several types it is that of its widget.
    """
    if isinstance(declared[0], list):
        return "COMBO"
    return input_settings(declared).get("widgetType", declared[0])


def input_settings(declared: list) -> dict:
    """The settings of an input, such as its default and limits; for a choice also `options`."""
    settings = declared[1] if len(declared) > 1 else {}
    return {"options": declared[0], **settings} if isinstance(declared[0], list) else settings


def set_input(prompt: dict, setting: str, object_info: dict) -> None:
    """Set an input named as on the command line: `title.input=value`.

    The text is converted to the type that the node declares. Raises ValueError for an unknown title
    or input, or a value of another type.
    """
    title, field, text = parse_setting(setting)
    name = f"{title}.{field}"
    node = node_titled(prompt, title)[1]
    inputs = declared_inputs(node, object_info)
    if field not in inputs:
        raise ValueError(
            f'"{title}" ({node["class_type"]}) has no input "{field}"; it has: '
            f"{', '.join(inputs) or 'none that the server knows'}"
        )
    node["inputs"][field] = _parse(text, inputs[field], name)


def parse_setting(setting: str) -> tuple[str, str, str]:
    """Title, input and value of `title.input=value`. Raises ValueError for anything else."""
    name, equals, text = setting.partition("=")
    title, dot, field = name.rpartition(".")
    if not equals or not dot:
        raise ValueError(f'"{setting}" is not of the form title.input=value, as in Prompt.text=...')
    return title, field, text


def _parse(text: str, declared: list, name: str) -> Any:
    kind = input_kind(declared)
    settings = input_settings(declared)
    if kind == "COMBO" and settings.get("multiselect"):
        return in_api_form([choice.strip() for choice in text.split(",")], settings)
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
    """The input for a folder's pictures: that of the node with the given title, else of the node
    titled "Picture", else the only one.

    Raises ValueError if there is no such input, or more than one.
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
