"""What the running graph says about where an input comes from, read in its API form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TEXTS = frozenset({"text", "text_g", "text_l", "prompt", "value", "string"})
# Masks whose meaning the graph does not tell.
OTHER_MASKS = frozenset({"VisagePromptMask", "LoadImageMask", "MaskComposite", "InvertMask"})


def prompt_text(graph: dict, node_id: str, name: str) -> str:
    """All text that reaches the input `name` of a node; "" for none."""
    return "\n".join(
        value
        for node in _before(graph, node_id, name)
        for key, value in node.get("inputs", {}).items()
        if key in TEXTS and isinstance(value, str)
    )


def masked_parts(graph: dict, node_id: str, name: str) -> Any:
    """The parts that Face Mask marks for the input `name`; None for a mask from elsewhere."""
    nodes = list(_before(graph, node_id, name))
    masks = [node for node in nodes if node.get("class_type") == "VisageFaceMask"]
    if len(masks) != 1 or any(node.get("class_type") in OTHER_MASKS for node in nodes):
        return None
    return masks[0]["inputs"].get("parts")


def _before(graph: dict, node_id: str, name: str) -> Iterator[dict]:
    """Every node that the input `name` of a node depends on."""
    links, seen = [graph.get(node_id, {}).get("inputs", {}).get(name)], set()
    while links:
        link = links.pop()
        if isinstance(link, list) and len(link) == 2 and link[0] in graph and link[0] not in seen:
            seen.add(link[0])
            yield graph[link[0]]
            links.extend(graph[link[0]].get("inputs", {}).values())
