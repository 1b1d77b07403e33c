"""The nodes and links of a canvas and of its subgraphs: which run, and what feeds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import page_nodes
from .page_nodes import name_of
from .subgraph_values import SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS, SubgraphValues
from .widgets import page_order, widget_values

MUTED, BYPASSED = 2, 4


@dataclass(frozen=True)
class Link:
    """A link from output number `output` of one node to input number `slot` of another."""

    origin: str
    output: int
    target: str
    slot: int


class Graph:
    """A canvas, or the inside of one subgraph node (`host`, a node of the graph `outside`)."""

    def __init__(
        self,
        content: dict,
        subgraphs: dict,
        object_info: dict,
        outside: Graph | None = None,
        host: dict | None = None,
    ) -> None:
        self.nodes = {str(node["id"]): node for node in content["nodes"]}
        self.inputs = content.get("inputs") or []
        self.links = dict(_read_link(link) for link in content.get("links") or [] if link)
        self.subgraphs, self.object_info = subgraphs, object_info
        self.outside, self.host = outside, host
        self.prefix = f"{outside.prefix}{host['id']}:" if outside else ""
        self.kept = SubgraphValues(self)
        self._inner: dict[str, Graph] = {}

    def running(self) -> Iterator[tuple[Graph, dict]]:
        """Yield every node that the server should run, with its graph."""
        for node in self.nodes.values():
            if node.get("mode", 0) in (MUTED, BYPASSED):
                continue
            if node["type"] in self.subgraphs:
                yield from self.inside(node).running()
            elif not self._is_of_the_page(node):
                yield self, node

    def everything(self) -> Iterator[tuple[Graph, dict]]:
        """Yield every node, including those in subgraphs."""
        for node in self.nodes.values():
            yield self, node
            if node["type"] in self.subgraphs:
                yield from self.inside(node).everything()

    def values(self, node: dict) -> dict[str, Any]:
        """The widget values of a node by input."""
        info = self.object_info.get(node["type"])
        values = widget_values(node, info) if info else {}
        for (inner, name), value in self.kept.promoted.items():
            if inner == str(node["id"]) and name in values:
                values[name] = value
        return values

    def slots(self, node: dict) -> list[dict]:
        """The input slots of a node in the page's order, with the types that its class declares."""
        saved = {slot["name"]: slot for slot in node.get("inputs") or []}
        info = self.object_info.get(node["type"])
        if node["type"] in self.subgraphs:
            order = [(one["name"], one["type"]) for one in self._definition(node)["inputs"]]
        else:
            order = page_order(info) if info else []
        slots = []
        for name, kind in order:
            grown = [slot for slot in saved if slot.startswith(f"{name}.")]
            if kind.startswith("COMFY_") and grown:
                slots += [saved.pop(slot) for slot in grown]
            slot = saved.pop(name, {"link": None})
            kind = slot.get("type", "*") if kind.startswith("COMFY_") else kind
            slots.append({**slot, "name": name, "type": kind})
        return slots + list(saved.values())

    def incoming(self, slot: dict) -> Any:
        """What feeds an input: a link of the API form, a `Value`, or None for nothing."""
        link = self.links.get(slot.get("link"))
        return self.origin(link, slot["type"]) if link else None

    def inside(self, node: dict) -> Graph:
        """The inside of a subgraph node."""
        key = str(node["id"])
        if key not in self._inner:
            self._inner[key] = Graph(
                self._definition(node), self.subgraphs, self.object_info, self, node
            )
        return self._inner[key]

    def origin(self, link: Link, kind: Any) -> Any:
        """The origin of a link into an input of type `kind`, in the form of `incoming`."""
        if link.origin == SUBGRAPH_INPUTS:
            return self._from_outside(link.output, kind)
        node = self.nodes.get(link.origin)
        if node is None or self.primitive(link) is not None:
            return None
        mode = node.get("mode", 0)
        if mode == MUTED:
            return None
        if mode == BYPASSED or self._is_reroute(node):
            through = self._way_through(node, link.output, kind)
            return self.incoming({**through, "type": kind}) if through else None
        if self._is_unknown(node) and page_nodes.is_get(node["type"]):
            return self._from_set(node, kind)
        if node["type"] in self.subgraphs:
            return self.inside(node).output(link.output, kind)
        if self._is_of_the_page(node):
            return None
        return [self.prefix + str(node["id"]), link.output]

    def output(self, number: int, kind: Any) -> Any:
        """What feeds one of the subgraph's outputs, in the form of `incoming`."""
        for link in self.links.values():
            if link.target == SUBGRAPH_OUTPUTS and link.slot == number:
                return self.origin(link, kind)
        return None

    def _definition(self, node: dict) -> dict:
        return self.subgraphs[node["type"]]

    def _from_outside(self, number: int, kind: Any) -> Any:
        """What feeds one of the subgraph's inputs from outside: a link, or its widget's value."""
        if self.host is None or self.outside is None or number >= len(self.inputs):
            return None
        name = self.inputs[number]["name"]
        for slot in self.host.get("inputs") or []:
            if slot["name"] == name and slot.get("link") is not None:
                link = self.outside.links.get(slot["link"])
                primitive = self.outside.primitive(link) if link else None
                if primitive is not None:
                    return Value(primitive)
                return self.outside.incoming({**slot, "type": kind})
        if not self.kept.stands_for_a_widget(name):
            return None
        value = self.kept.value(name)
        return None if value is None else Value(value)

    def primitive(self, link: Link) -> Any:
        """The value of the primitive node that a link comes from, directly or over reroutes."""
        node = self.nodes.get(link.origin)
        if node is None:
            return None
        if node["type"] == "PrimitiveNode":
            promoted = self.kept.promoted.get((str(node["id"]), "value"))
            saved = node.get("widgets_values") or [None]
            return saved[0] if promoted is None else promoted
        if self._is_reroute(node) and node.get("mode", 0) != MUTED:
            before = self.links.get((node.get("inputs") or [{}])[0].get("link"))
            return self.primitive(before) if before else None
        return None

    def _way_through(self, node: dict, number: int, kind: Any) -> dict | None:
        """The input that a bypassed node hands on at an output: the one opposite if it fits, or
        else the first that does."""
        slots = self.slots(node)
        if self._is_reroute(node):
            return slots[0] if slots else None
        if kind in ("*", ""):
            return slots[number if number < len(slots) else 0] if slots else None
        outputs = node.get("outputs") or []
        given = outputs[number].get("type", "*") if number < len(outputs) else "*"

        def fits(slot: dict) -> bool:
            return _fit(slot["type"], given) and _fit(slot["type"], kind)

        if number < len(slots) and fits(slots[number]):
            return slots[number]
        exact = next((slot for slot in slots if slot["type"] == kind), None)
        return exact or next(filter(fits, slots), None)

    def _is_reroute(self, node: dict) -> bool:
        return self._is_unknown(node) and page_nodes.is_reroute(node)

    def _is_unknown(self, node: dict) -> bool:
        return node["type"] not in self.object_info and node["type"] not in self.subgraphs

    def _is_of_the_page(self, node: dict) -> bool:
        """Whether a node exists in the page only, or nothing needs it."""
        if not self._is_unknown(node):
            return False
        if page_nodes.is_of_the_page(node["type"]) or page_nodes.is_reroute(node):
            return True
        page_nodes.refuse_group_node(node)
        linked = any(slot.get("link") in self.links for slot in node.get("inputs") or [])
        used = any(link.origin == str(node["id"]) for link in self.links.values())
        return not linked and not used

    def _from_set(self, node: dict, kind: Any) -> Any:
        """What feeds the Set node of the same name, here or outside."""
        name = page_nodes.kept_name(node)
        graph: Graph | None = self
        while graph is not None:
            for other in filter(graph._is_unknown, graph.nodes.values()):
                if page_nodes.is_set(other["type"]) and page_nodes.kept_name(other) == name:
                    slot = (other.get("inputs") or [{}])[0]
                    link = graph.links.get(slot.get("link"))
                    primitive = graph.primitive(link) if link else None
                    if primitive is not None:
                        return Value(primitive)
                    return graph.incoming({**slot, "type": kind}) if link else None
            graph = graph.outside
        raise ValueError(
            f'{name_of(node)} gets "{name}", but no node sets that name: set it, or remove the node'
        )


@dataclass(frozen=True)
class Value:
    """A value that feeds an input instead of a link."""

    value: Any


def _read_link(link: list | dict) -> tuple[Any, Link]:
    if isinstance(link, dict):
        names = ("origin_id", "origin_slot", "target_id", "target_slot")
        key, (origin, output, target, slot) = link["id"], (link[name] for name in names)
    else:
        key, origin, output, target, slot = link[:5]
    return key, Link(str(origin), output, str(target), slot)


def _fit(one: Any, other: Any) -> bool:
    """Whether a link may join two types; each may be a list such as "FLOAT,INT"."""
    ones, others = (
        {kind.strip().lower() for kind in str(kinds).split(",")} for kinds in (one, other)
    )
    return bool(ones & others) or "*" in ones | others or "" in ones | others
