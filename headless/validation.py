"""What would keep a server from running a workflow, all at once and before anything is queued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .workflow import declared_inputs, input_kind, input_settings, title_of

SHOWN_CHOICES = 8


def problems(prompt: dict, object_info: dict, given: frozenset = frozenset()) -> list[str]:
    """One line for each node class, model, input or link that the server does not have.

    `given` holds (node id, input name) of the files that will be uploaded: they need not be there.
    """
    found = []
    for key, node in prompt.items():
        who = f"{title_of(prompt, key)} ({node['class_type']})"
        if node["class_type"] not in object_info:
            found.append(
                f"{who}: the server does not have this node; install the node pack it comes from"
            )
            continue
        inputs = node.get("inputs", {})
        for name in object_info[node["class_type"]]["input"].get("required", {}):
            if name not in inputs:
                found.append(f"{who}: {name} is missing")
        for name, declared in declared_inputs(node, object_info).items():
            if name in inputs and (key, name) not in given:
                wrong = _wrong(inputs[name], declared, prompt, object_info)
                found += [f"{who}: {name} {reason}" for reason in wrong]
    if not any(
        object_info.get(node["class_type"], {}).get("output_node") for node in prompt.values()
    ):
        found.append("no node saves or shows anything: add one such as Save Image")
    return found


def _wrong(value: Any, declared: list, prompt: dict, object_info: dict) -> Iterator[str]:
    if isinstance(value, list):
        yield from _wrong_link(value, input_kind(declared), prompt, object_info)
        return
    settings = input_settings(declared)
    chosen = value["__value__"] if isinstance(value, dict) and "__value__" in value else value
    if input_kind(declared) == "COMBO" and isinstance(settings.get("options"), list):
        chosen = chosen if isinstance(chosen, list) else [chosen]
        options = settings["options"]
        for choice in chosen:
            # A picture in a folder, or with a note such as [output], is listed nowhere.
            elsewhere = settings.get("image_upload") and ("/" in choice or choice.endswith("]"))
            if choice not in options and not elsewhere:
                yield f"{choice!r} is not on the server, which has: {_shown(options)}"
    elif isinstance(chosen, (int, float)):
        low, high = settings.get("min"), settings.get("max")
        if (low is not None and chosen < low) or (high is not None and chosen > high):
            yield f"{chosen} is outside {low} .. {high}"


def _wrong_link(link: list, kind: str, prompt: dict, object_info: dict) -> Iterator[str]:
    if len(link) != 2 or str(link[0]) not in prompt:
        yield f"is linked to {link[0] if link else 'nothing'}, which is not in the workflow"
        return
    source = str(link[0])
    outputs = object_info.get(prompt[source]["class_type"], {}).get("output")
    if outputs is None:
        return  # the class is unknown and has been named
    if link[1] >= len(outputs):
        title = title_of(prompt, source)
        yield f"is linked to output {link[1]} of {title}, which has {len(outputs)}"
        return
    given = outputs[link[1]]
    # A choice's type is its list of options; "*" and lists of types are for ComfyUI to judge.
    plain = isinstance(given, str) and given != "*" and kind not in ("*", "COMBO")
    if plain and "," not in kind and "," not in given and given != kind:
        yield f"takes {kind}, and {title_of(prompt, source)} gives {given}"


def _shown(options: list) -> str:
    names = [str(option) for option in options]
    more = f" and {len(names) - SHOWN_CHOICES} more" if len(names) > SHOWN_CHOICES else ""
    return (", ".join(names[:SHOWN_CHOICES]) or "nothing") + more
