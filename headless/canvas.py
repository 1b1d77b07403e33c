"""From the canvas form of a workflow (what the frontend saves) to the API form (what runs).

The canvas form keeps a node's widget values in a list without names; a server's `object_info` tells
which inputs are widgets and in which order. Notes, muted and bypassed nodes, reroutes and primitive
nodes exist on the canvas only, and subgraphs are unfolded as the frontend does: node ids become
`outer:inner`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
WIDGET_KINDS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
# The ids that stand for a subgraph's own inputs and outputs in its links.
SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = -10, -20


def is_canvas_form(workflow: dict) -> bool:
    """Whether this is the form that the frontend saves."""
    return isinstance(workflow.get("nodes"), list) and "links" in workflow


def to_api_form(workflow: dict, object_info: dict) -> dict:
    """The workflow in API form. Raises ValueError when a node's widget values do not fit its class.

    A class that the server does not know keeps its links and no values; validation names it.
    """
    definitions = workflow.get("definitions", {}).get("subgraphs", [])
    subgraphs = {definition["id"]: definition for definition in definitions}
    graph = _Graph(workflow, subgraphs, object_info)
    prompt = {}
    for inner, node in graph.running():
        inputs = dict(_values(node, object_info))
        for slot in node.get("inputs", []):
            source = inner.incoming(slot)
            if source is not None:
                inputs[slot["name"]] = source
        prompt[inner.prefix + str(node["id"])] = {
            "inputs": inputs,
            "class_type": node["type"],
            "_meta": {"title": node.get("title") or _display_name(node, object_info)},
        }
    _drop_links_to_nothing(prompt)
    return prompt


def _display_name(node: dict, object_info: dict) -> str:
    return object_info.get(node["type"], {}).get("display_name") or node["type"]


@dataclass(frozen=True)
class _Link:
    origin: int
    output: int
    target: int
    slot: int
    kind: Any


class _Graph:
    """A canvas or the inside of one subgraph node."""

    def __init__(
        self,
        content: dict,
        subgraphs: dict,
        object_info: dict,
        outside: _Graph | None = None,
        instance: dict | None = None,
    ) -> None:
        self.nodes = {node["id"]: node for node in content["nodes"]}
        self.links = dict(_read_link(link) for link in content["links"])
        self.subgraphs, self.object_info = subgraphs, object_info
        self.outside, self.instance = outside, instance
        self.prefix = f"{outside.prefix}{instance['id']}:" if outside else ""

    def running(self) -> Iterator[tuple[_Graph, dict]]:
        """Every node that the server shall run, with the graph that it stands in."""
        for node in self.nodes.values():
            if node.get("mode", 0) in (MUTED, BYPASSED) or node["type"] in NOTES:
                continue
            if node["type"] in self.subgraphs:
                yield from self._inside(node).running()
            elif node["type"] not in ("Reroute", "PrimitiveNode"):
                yield self, node

    def incoming(self, slot: dict) -> Any:
        """What feeds an input: a link of the API form, a value, or None for nothing."""
        link = self.links.get(slot.get("link"))
        return self._origin(link) if link else None

    def _inside(self, node: dict) -> _Graph:
        definition = self.subgraphs[node["type"]]
        return _Graph(definition, self.subgraphs, self.object_info, self, node)

    def _origin(self, link: _Link) -> Any:
        if link.origin == SUBGRAPH_INPUTS:
            return self._from_outside(link.output)
        node = self.nodes[link.origin]
        mode = node.get("mode", 0)
        if mode == MUTED:
            return None
        if mode == BYPASSED or node["type"] == "Reroute":
            through = _way_through(node, link)
            return self.incoming(through) if through else None
        if node["type"] == "PrimitiveNode":
            return _wrapped(node["widgets_values"][0])
        if node["type"] in self.subgraphs:
            return self._inside(node)._output(link.output)
        return [self.prefix + str(node["id"]), link.output]

    def _output(self, number: int) -> Any:
        """What a subgraph gives at one of its outputs."""
        for link in self.links.values():
            if link.target == SUBGRAPH_OUTPUTS and link.slot == number:
                return self._origin(link)
        return None

    def _from_outside(self, number: int) -> Any:
        """What the subgraph's node gets at one of its inputs: a link, or its widget's value."""
        slot = self.instance["inputs"][number]
        if slot.get("link") is not None:
            return self.outside.incoming(slot)
        if "widget" not in slot:
            return None
        widgets = [slot["name"] for slot in self.instance["inputs"] if "widget" in slot]
        values = self.instance.get("widgets_values") or []
        index = widgets.index(slot["name"])
        return _wrapped(values[index]) if index < len(values) else None


def _read_link(link: list | dict) -> tuple[int, _Link]:
    if isinstance(link, dict):
        names = ("origin_id", "origin_slot", "target_id", "target_slot", "type")
        return link["id"], _Link(*(link[name] for name in names))
    return link[0], _Link(*link[1:6])


def _way_through(node: dict, link: _Link) -> dict | None:
    """The input that a bypassed node hands on: the one opposite if it has the same type, or else
    the first that has."""
    inputs = node.get("inputs", [])
    if node["type"] == "Reroute":
        return inputs[0]
    kind = node["outputs"][link.output]["type"]
    opposite = inputs[link.output : link.output + 1]
    return next((slot for slot in [*opposite, *inputs] if slot["type"] == kind), None)


def _values(node: dict, object_info: dict) -> Iterator[tuple[str, Any]]:
    """Name and value of each widget that the node's class declares."""
    saved = node.get("widgets_values") or []
    if node["type"] not in object_info:
        return
    declared = list(_declared_widgets(object_info[node["type"]]))
    if isinstance(saved, dict):
        yield from ((name, _wrapped(saved[name])) for name, _, _ in declared if name in saved)
        return
    position = 0
    for name, settings, kind in declared:
        if position >= len(saved):
            break  # a widget that only shows what has run keeps no value
        yield name, _wrapped(saved[position])
        position += 1
        # The frontend gives these widgets a companion, whose value lies behind theirs.
        seed = kind == "INT" and name in ("seed", "noise_seed")
        if settings.get("control_after_generate") or seed or settings.get("image_upload"):
            position += 1
    if position < len(saved) and any(value not in ("", None) for value in saved[position:]):
        names = ", ".join(name for name, _, _ in declared)
        raise ValueError(
            f"{node.get('title') or node['type']} (node {node['id']}) has {len(saved)} widget "
            f"values, and the server's {node['type']} takes {position}: {names}. It was saved with "
            "another version of that node: open it in ComfyUI and export the API form."
        )


def _declared_widgets(info: dict) -> Iterator[tuple[str, dict, str]]:
    for group in ("required", "optional"):
        inputs = info["input"].get(group, {})
        for name in info.get("input_order", {}).get(group, inputs):
            kind, settings = inputs[name][0], (inputs[name][1] if len(inputs[name]) > 1 else {})
            kind = "COMBO" if isinstance(kind, list) else kind
            if kind in WIDGET_KINDS and not settings.get("forceInput"):
                yield name, settings, kind


def _wrapped(value: Any) -> Any:
    """A list as the API form writes it, where a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _drop_links_to_nothing(prompt: dict) -> None:
    """Take off links whose node does not run."""
    for node in prompt.values():
        for name, value in list(node["inputs"].items()):
            if isinstance(value, list) and value[0] not in prompt:
                del node["inputs"][name]
