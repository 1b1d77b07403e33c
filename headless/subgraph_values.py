"""The values that a subgraph's node holds for the widgets inside it, by name.

A subgraph's definition names its inputs. An input whose first link leads to an inner widget stands
for that widget, and the subgraph's node holds a value for it, in the order of the definition. For a
time the frontend listed inner widgets in `proxyWidgets` instead, in the order of the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .widgets import widget_names, widget_values

if TYPE_CHECKING:
    from .canvas_graph import Graph, Link

# The ids of a subgraph's own inputs and outputs in its links.
SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = "-10", "-20"


class SubgraphValues:
    """The values that a subgraph's node holds for its inside, `graph`; none for a canvas."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def value(self, name: str) -> Any:
        """The value that the subgraph's node holds for one of its inputs, or else the inner
        widget's; None if the input stands for no widget."""
        if name in self._by_name:
            return self._by_name[name]
        return self._inner_value(name)

    def stands_for_a_widget(self, name: str) -> bool:
        """Whether an input of the subgraph leads to a widget inside."""
        return self.target(name) is not None

    def target(self, name: str) -> tuple[dict, str] | None:
        """The inner node and widget that an input of the subgraph stands for, by its first link
        to a widget."""
        names = [one["name"] for one in self.graph.inputs]
        number = names.index(name) if name in names else None
        for link in self._links_in_order(number):
            node = self.graph.nodes.get(link.target)
            slot = self._linked_slot(node, link) if node else None
            if slot is None:
                continue
            if node["type"] in self.graph.subgraphs:
                if self.graph.inside(node).kept.stands_for_a_widget(slot):
                    return node, slot
            elif self._is_widget(node, slot):
                return node, slot
        return None

    def _is_widget(self, node: dict, slot: str) -> bool:
        info = self.graph.object_info.get(node["type"])
        if info is None:
            return False
        # Inputs that a choice adds are declared under its option only.
        return slot in widget_names(info) or slot in widget_values(node, info)

    def _links_in_order(self, number: int | None) -> list[Link]:
        """The links of an input of the subgraph, in the order that its definition gives."""
        if number is None:
            return []
        listed = self.graph.inputs[number].get("linkIds") or []
        links = [self.graph.links[key] for key in listed if key in self.graph.links]
        return links or [
            link
            for link in self.graph.links.values()
            if link.origin == SUBGRAPH_INPUTS and link.output == number
        ]

    def _linked_slot(self, node: dict, link: Link) -> str | None:
        for slot in node.get("inputs") or []:
            if self.graph.links.get(slot.get("link")) is link:
                return slot["name"]
        return None

    def _inner_value(self, name: str) -> Any:
        found = self.target(name)
        if found is None:
            return None
        node, slot = found
        if node["type"] in self.graph.subgraphs:
            return self.graph.inside(node).kept.value(slot)
        return self.graph.values(node).get(slot)

    @cached_property
    def _by_name(self) -> dict[str, Any]:
        """The values that the subgraph's node holds, by the names of its inputs."""
        if self.graph.host is None:
            return {}
        named = {
            name: value
            for name, value in (self.graph.host.get("widgets_values_named") or {}).items()
            if self.stands_for_a_widget(name)
        }
        if named:
            return named
        saved = self.graph.host.get("widgets_values") or []
        if isinstance(saved, dict):
            return saved
        values = {}
        if not _proxies(self.graph.host):
            names = [one["name"] for one in self.graph.inputs]
            widgets = [name for name in names if self.stands_for_a_widget(name)]
            values = dict(zip(widgets, saved, strict=False))
        for (inner, widget, _), value in zip(_proxies(self.graph.host), saved, strict=False):
            name = widget if inner == "-1" else self._input_for(inner, widget)
            if name is not None:
                values[name] = value
        if self.graph.outside is not None:
            values |= dict(self.graph.outside.kept.promoted_into(self.graph.host))
        return {name: value for name, value in values.items() if value is not None}

    def _input_for(self, inner: str, widget: str) -> str | None:
        """The subgraph's input that leads to a widget of one of its nodes."""
        for one in self.graph.inputs:
            found = self.target(one["name"])
            if found and str(found[0]["id"]) == inner and found[1] == widget:
                return one["name"]
        return None

    @cached_property
    def promoted(self) -> dict[tuple[str, str], Any]:
        """Values that the subgraph's node holds for inner widgets without an input, by node and
        widget."""
        if self.graph.host is None or not isinstance(self.graph.host.get("widgets_values"), list):
            return {}
        entries = zip(_proxies(self.graph.host), self.graph.host["widgets_values"], strict=False)
        return {
            (inner, widget): value
            for (inner, widget, _), value in entries
            if inner != "-1" and value is not None and self._input_for(inner, widget) is None
        }

    def promoted_into(self, node: dict) -> Iterator[tuple[str, Any]]:
        """Inputs and values that the host promotes into a subgraph node of this graph."""
        inner = self.graph.inside(node)
        for (key, widget), value in self.promoted.items():
            if key != str(node["id"]):
                continue
            for one in inner.inputs:
                found = inner.kept.target(one["name"])
                if found and widget in (one["name"], found[1]):
                    yield one["name"], value
                    break


def _proxies(host: dict) -> list[tuple[str, str, str | None]]:
    """The inner widgets of `proxyWidgets` as (inner node, widget, node further in), in the order of
    the values."""
    listed = (host.get("properties") or {}).get("proxyWidgets") or []
    entries = []
    for entry in listed if isinstance(listed, list) else []:
        inner, name, *further = entry
        # Older frontends wrote nested widgets as "node: widget".
        prefixed = re.match(r"\s*(\d+)\s*:\s*(.+)$", str(name))
        further = [prefixed[1]] if prefixed else further
        entries.append((str(inner), prefixed[2] if prefixed else name, next(iter(further), None)))
    return entries
