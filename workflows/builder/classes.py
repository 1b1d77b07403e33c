"""What the builder knows of node classes: inputs and outputs as a server's `object_info` tells
them, and the size that a node has on the page. `headless/classes.json` keeps both, so that
building needs neither; `visage workflows --measure` brings it up to date.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

CLASSES = Path(__file__).parents[2] / "headless" / "classes.json"
# Of an input's settings, those that decide how a workflow is saved. Tooltips, limits and choices
# differ from machine to machine and from one version to the next.
KEPT = (
    "default", "control_after_generate", "image_upload", "forceInput", "multiselect",
    "multi_select", "separator", "dynamicPrompts", "widgetType",
)  # fmt: skip
ABOUT = ("display_name", "output", "output_name", "output_node", "python_module", "input_order")


@cache
def known_classes() -> dict[str, dict]:
    """Every class that a workflow may use, in the form of `object_info`, with its `size`."""
    return json.loads(CLASSES.read_text(encoding="utf-8"))


def reduced(info: dict) -> dict:
    """The part of a class's `object_info` that is kept."""
    inputs = {
        group: {name: _reduced_input(declared) for name, declared in info["input"][group].items()}
        for group in ("required", "optional")
        if group in info["input"]
    }
    return {**{key: info[key] for key in ABOUT}, "input": inputs}


def _reduced_input(declared: list) -> list:
    settings = declared[1] if len(declared) > 1 else {}
    kind = "COMBO" if isinstance(declared[0], list) else declared[0]
    return [kind, {name: settings[name] for name in KEPT if name in settings}]
