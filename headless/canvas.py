"""Converts the canvas form of a workflow (what the frontend saves) to the API form (what runs).

The canvas form holds more than the nodes that run: notes and other nodes of the page, muted and
bypassed nodes, reroutes, primitive nodes, pairs of Set and Get. Subgraphs are unfolded as by the
frontend: node ids become `outer:inner`, and a value that the subgraph's node holds goes to the
inner inputs that it stands for, which are found by name.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import page_nodes
from .canvas_graph import Graph, Value
from .file_names import name_files
from .needs import needed_nodes
from .page_nodes import name_of
from .widgets import drawn_in_the_page, fill_in, is_of_a_pack


def is_canvas_form(workflow: dict) -> bool:
    """Whether a workflow is in the form that the frontend saves."""
    return isinstance(workflow.get("nodes"), list) and "links" in workflow


def to_api_form(workflow: dict, object_info: dict) -> dict:
    """Convert a workflow to API form.

    Nodes of unknown classes keep their links but lose their values; validation reports them. Raises
    ValueError for what cannot be converted: values that do not fit their class, old group nodes,
    and inputs that the browser makes.
    """
    definitions = (workflow.get("definitions") or {}).get("subgraphs") or []
    subgraphs = {definition["id"]: definition for definition in definitions}
    root = Graph(workflow, subgraphs, object_info)
    try:
        prompt, faults = _convert(root, object_info)
    except RecursionError:
        raise ValueError("the workflow's links or subgraphs form a circle") from None
    _drop_links_to_nothing(prompt)
    _refuse_faults(prompt, faults, object_info)
    nodes = ((node, partial(graph.values, node)) for graph, node in root.everything())
    name_files(prompt, object_info, nodes)
    return prompt


def _convert(root: Graph, object_info: dict) -> tuple[dict, dict[str, str]]:
    """The nodes that run, and the faults of those that cannot be converted, by id."""
    prompt, faults = {}, {}
    for graph, node in root.running():
        key, inputs = graph.prefix + str(node["id"]), {}
        try:
            inputs = _inputs(graph, node)
        except ValueError as error:
            faults[key] = str(error)
        prompt[key] = {
            "inputs": inputs,
            "class_type": node["type"],
            "_meta": {"title": node.get("title") or _display_name(node, object_info)},
        }
    return prompt, faults


def _refuse_faults(prompt: dict, faults: dict[str, str], object_info: dict) -> None:
    """Raise ValueError for a fault in a node that an output needs; remove other faulty nodes."""
    needed = needed_nodes(prompt, object_info)
    found = [faults[key] for key in prompt if key in faults and key in needed]
    if found:
        raise ValueError("\n".join(found))
    for key in faults:
        del prompt[key]


def _display_name(node: dict, object_info: dict) -> str:
    return object_info.get(node["type"], {}).get("display_name") or node["type"]


def _inputs(graph: Graph, node: dict) -> dict[str, Any]:
    """The inputs of a node that runs: its values, replaced by links where there are any."""
    info = graph.object_info.get(node["type"])
    values = graph.values(node)
    settings = _settings(info) if info else {}
    for slot in node.get("inputs") or []:
        link = graph.links.get(slot.get("link"))
        primitive = graph.primitive(link) if link else None
        if primitive is not None:
            values[slot["name"]] = primitive
    inputs = {}
    for name, value in values.items():
        own = settings.get(name, {})
        if own.get("dynamicPrompts"):
            value = _filled(value, f"{graph.prefix}{node['id']}.{name}")
        inputs[name] = in_api_form(value, own)
    for slot in graph.slots(node):
        source = graph.incoming(slot)
        if isinstance(source, Value):
            inputs[slot["name"]] = _wrapped(source.value)
        elif source is not None:
            inputs[slot["name"]] = source
    if info:
        _refuse_what_the_page_makes(node, inputs, info)
    return inputs


def _settings(info: dict) -> dict[str, dict]:
    """The settings that a class declares for its inputs, by name: with `dynamicPrompts`, `{a|b}`
    stands for one of several."""
    groups = info["input"]
    declared = {**groups.get("required", {}), **groups.get("optional", {})}
    return {name: spec[1] for name, spec in declared.items() if len(spec) > 1}


def _filled(value: Any, place: str) -> Any:
    return fill_in(value, place) if isinstance(value, str) else value


def in_api_form(value: Any, settings: dict) -> Any:
    """A widget's value in API form; `settings` are those of its declaration.

    If they name a `separator`, a list of choices becomes one text: ComfyUI saves lists bare into
    pictures, where the page would read them as links.
    """
    if isinstance(value, list) and "separator" in settings:
        return settings["separator"].join(value)
    return _wrapped(value)


def _wrapped(value: Any) -> Any:
    """A list in API form, wrapped, because a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _refuse_what_the_page_makes(node: dict, inputs: dict, info: dict) -> None:
    if is_of_a_pack(info):
        page_nodes.refuse_everywhere(node)
    for name, how in drawn_in_the_page(info):
        if not inputs.get(name):
            raise ValueError(
                f"{name_of(node)}: {name} {how}, which only the page can do. Put a node that "
                "loads a file in its place."
            )


def _drop_links_to_nothing(prompt: dict) -> None:
    """Remove links from nodes that do not run."""
    for node in prompt.values():
        for name, value in list(node["inputs"].items()):
            if isinstance(value, list) and value[0] not in prompt:
                del node["inputs"][name]
