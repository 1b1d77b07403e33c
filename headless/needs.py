"""Which nodes of a workflow run: those that an output needs."""

from __future__ import annotations


def needed_nodes(prompt: dict, object_info: dict) -> set[str]:
    """The ids of the nodes that save or show something and of all that they need.

    If no node saves or shows anything, the ids of all nodes.
    """
    todo = [
        key
        for key, node in prompt.items()
        if object_info.get(node["class_type"], {}).get("output_node")
    ] or list(prompt)
    found: set[str] = set()
    while todo:
        key = todo.pop()
        if key in found or key not in prompt:
            continue
        found.add(key)
        links = (value for value in prompt[key].get("inputs", {}).values())
        todo += [str(link[0]) for link in links if isinstance(link, list) and len(link) == 2]
    return found
