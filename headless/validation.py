"""Finds everything that keeps a server from running a workflow, before it is queued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..models.model_kinds import ALL_KINDS
from .needs import needed_nodes
from .workflow import declared_inputs, input_kind, input_settings, title_of

SHOWN_CHOICES = 8
ON_THE_SERVER = "is not on the server"
# Inputs of ComfyUI's loaders, and the kind of file that each names.
LOADED = {
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoint",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("LoraLoader", "lora_name"): "lora",
    ("LoraLoaderModelOnly", "lora_name"): "lora",
    ("LoraModelLoader", "lora_name"): "lora",
}


def problems(prompt: dict, object_info: dict, given: frozenset = frozenset()) -> list[str]:
    """One line for each node class, model, input or link that the server does not have.

    Models, inputs and links count only if an output needs them, because the server does not run
    other nodes. `given` holds (node id, input name) of files that will be uploaded.
    """
    found = []
    needed = needed_nodes(prompt, object_info)
    for key, node in prompt.items():
        who = f"{title_of(prompt, key)} ({node['class_type']})"
        if node["class_type"] not in object_info:
            found.append(
                f"{who}: the server does not have this node. Install the node pack that it comes "
                "from; if it works in the browser alone, remove it from the workflow"
            )
            continue
        if key not in needed:
            continue
        inputs = node.get("inputs", {})
        for name in object_info[node["class_type"]]["input"].get("required", {}):
            if name not in inputs:
                found.append(f"{who}: {name} is missing")
        for name, declared in declared_inputs(node, object_info).items():
            if name in inputs and (key, name) not in given:
                wrong = _wrong(inputs[name], declared, prompt, object_info)
                advice = _how_to_get(node["class_type"], name, title_of(prompt, key))
                found += [
                    f"{who}: {name} {reason}{advice if ON_THE_SERVER in reason else ''}"
                    for reason in wrong
                ]
    if not any(
        object_info.get(node["class_type"], {}).get("output_node") for node in prompt.values()
    ):
        found.append("no node saves or shows anything: add one such as Save Image")
    return found


def _how_to_get(node_class: str, name: str, title: str) -> str:
    """How to get a model file that an input names; "" for other inputs."""
    kind = ALL_KINDS.get(LOADED.get((node_class, name), ""))
    if kind is None:
        return ""
    return (
        f". Any name works: put {kind.what} into ComfyUI's models/{kind.folder} and choose it with "
        f'--set "{title}.{name}=FILE". {kind.how_to_get()}'
    )


def _wrong(value: Any, declared: list, prompt: dict, object_info: dict) -> Iterator[str]:
    if isinstance(value, list):
        yield from _wrong_link(value, input_kind(declared), prompt, object_info)
        return
    settings = input_settings(declared)
    chosen = value["__value__"] if isinstance(value, dict) and "__value__" in value else value
    if input_kind(declared) == "COMBO" and isinstance(settings.get("options"), list):
        if isinstance(chosen, str) and "separator" in settings:
            chosen = [choice.strip() for choice in chosen.split(settings["separator"].strip())]
        chosen = chosen if isinstance(chosen, list) else [chosen]
        options = settings["options"]
        for choice in chosen:
            # Pictures in subfolders, or with a suffix such as [output], are not listed.
            elsewhere = settings.get("image_upload") and ("/" in choice or choice.endswith("]"))
            if choice not in options and not elsewhere:
                yield f"{choice!r} {ON_THE_SERVER}, which has: {_shown(options)}"
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
    # The type of a choice is its list of options; ComfyUI itself judges "*" and lists of types.
    plain = isinstance(given, str) and given != "*" and kind not in ("*", "COMBO")
    if plain and "," not in kind and "," not in given and given != kind:
        yield f"takes {kind}, and {title_of(prompt, source)} gives {given}"


def _shown(options: list) -> str:
    names = [str(option) for option in options]
    more = f" and {len(names) - SHOWN_CHOICES} more" if len(names) > SHOWN_CHOICES else ""
    return (", ".join(names[:SHOWN_CHOICES]) or "nothing") + more
