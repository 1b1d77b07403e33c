"""Nodes that exist in the page only and are not needed by a server.

They are the frontend's own and those of widely used packs: labels, bookmarks, switches for groups,
reroutes, and pairs of Set and Get, which replace links.
"""

from __future__ import annotations

import re
from typing import Any

NOTES = ("Note", "MarkdownNote")
PRIMITIVE = "PrimitiveNode"
# Nodes that are linked to others and act on them in the page.
ACTING = re.compile(
    r"(Fast (Groups )?(Bypasser|Muter)|Mute / Bypass (Repeater|Relay)|Random Unmuter|"
    r"Fast Actions Button|Bookmark|Label|Node Collector|Node Combiner) \(rgthree\)$"
)
EVERYWHERE = ("Anything Everywhere", "Prompts Everywhere", "Seed Everywhere")
GROUP_NODES = ("workflow/", "workflow>")


def is_of_the_page(kind: str) -> bool:
    """Whether a type of node is known to exist in the page only."""
    known = (*NOTES, PRIMITIVE, "Reroute")
    return kind in known or bool(ACTING.match(kind)) or is_set(kind) or is_get(kind)


def is_reroute(node: dict) -> bool:
    """Whether a node of the page passes its one input on."""
    one_way = len(node.get("inputs") or []) == 1 and len(node.get("outputs") or []) == 1
    return node["type"] == "Reroute" or (one_way and "reroute" in node["type"].lower())


def is_set(kind: str) -> bool:
    """Whether a type of node stores its input under a name."""
    return bool(re.search(r"(^|[\s_|])set_?node$", kind, re.IGNORECASE))


def is_get(kind: str) -> bool:
    """Whether a type of node outputs what is stored under its name."""
    return bool(re.search(r"(^|[\s_|])get_?node$", kind, re.IGNORECASE))


def kept_name(node: dict) -> Any:
    """The name of a Set or Get node."""
    values = node.get("widgets_values") or [None]
    return next(iter(values.values()), None) if isinstance(values, dict) else values[0]


def refuse_group_node(node: dict) -> None:
    """Raise ValueError for a group node, which newer ComfyUI replaced by subgraphs."""
    if node["type"].startswith(GROUP_NODES):
        raise ValueError(
            f"{name_of(node)} is a group node of an older ComfyUI: open the workflow there, "
            "convert it to nodes or to a subgraph, and save."
        )


def refuse_everywhere(node: dict) -> None:
    """Raise ValueError for a node whose pack adds links when the page queues a workflow."""
    if node["type"].startswith(EVERYWHERE):
        raise ValueError(
            f"{name_of(node)} sends its input to others without a link, which its pack does in "
            "the browser: convert its connections to real links there, and save."
        )


def name_of(node: dict) -> str:
    """The name of a node in messages."""
    return f"{node.get('title') or node['type']} (node {node['id']})"
