"""Runs a workflow in API form without ComfyUI, with functions in the place of nodes.

Results that do not depend on the picture, such as models and prompts, are computed once and kept.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..headless.workflow import WorkflowError, title_of

WIDGETS = {"int": "INT", "float": "FLOAT", "bool": "BOOLEAN", "str": "STRING", "Parts": "STRING"}


# Inputs that do not affect the result: the frontend's widgets, and names of files on a server.
IDLE = frozenset({"preview", "filename_prefix", "upload"})


@dataclass(frozen=True)
class Shown:
    """A node's result: its outputs, the texts that it shows, and the pictures that it saves or
    previews (uint8 [H, W, C] each)."""

    outputs: tuple = ()
    texts: tuple[str, ...] = ()
    saved: tuple = ()
    previewed: tuple = ()


@dataclass(frozen=True)
class Operator:
    """A function in the place of a node. It returns its outputs as a tuple, or `Shown`."""

    run: Callable[..., tuple | Shown]
    ends: bool = False

    @property
    def inputs(self) -> dict[str, inspect.Parameter]:
        found = inspect.signature(self.run).parameters
        return {name: value for name, value in found.items() if not name.startswith("_")}


@dataclass(frozen=True)
class Results:
    """The results of a run, by node id."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    saved: dict[str, list] = field(default_factory=dict)
    previewed: dict[str, list] = field(default_factory=dict)


def object_info(operators: Mapping[str, Operator]) -> dict[str, dict]:
    """Describe operators as a ComfyUI server describes nodes, with names and plain types."""
    return {
        kind: {
            "input": {
                "required": _declared(operator, True),
                "optional": _declared(operator, False),
            },
            "output_node": operator.ends,
        }
        for kind, operator in operators.items()
    }


def _declared(operator: Operator, required: bool) -> dict[str, list]:
    declared = {}
    for name, parameter in operator.inputs.items():
        if (parameter.default is inspect.Parameter.empty) == required:
            annotation = parameter.annotation
            kind = WIDGETS.get(getattr(annotation, "__name__", str(annotation)), "*")
            # Marks the input that takes the name of a picture.
            upload = {"image_upload": True} if name == "image" and kind == "STRING" else {}
            declared[name] = [kind, upload]
    return declared


class Graph:
    """A workflow in API form with the functions that run it.

    `varying` are the ids of the nodes whose values change from picture to picture. Raises
    ValueError that names every node without a function.
    """

    def __init__(
        self, prompt: dict, operators: Mapping[str, Operator], varying: frozenset[str]
    ) -> None:
        unknown = {
            node["class_type"]: title_of(prompt, key)
            for key, node in prompt.items()
            if node["class_type"] not in operators
        }
        if unknown:
            named = ", ".join(f"{title} ({kind})" for kind, title in unknown.items())
            raise ValueError(
                f"the diffusers engine cannot run {named}. Use --engine comfyui, or a workflow of: "
                f"{', '.join(sorted(operators))}"
            )
        self.prompt, self.operators = prompt, operators
        ends = [key for key, node in prompt.items() if operators[node["class_type"]].ends]
        if not ends:
            raise ValueError("no node saves or shows anything: add one such as Save Image")
        # As in ComfyUI, nodes that these do not need are not run.
        self.order = _in_order(prompt, ends)
        self._refuse_unknown_inputs()
        self.varying = _downstream(prompt, self.order, varying)
        self._kept: dict[str, tuple[str, Shown]] = {}

    def _refuse_unknown_inputs(self) -> None:
        """Raise ValueError for an input that a function lacks: it would only act in ComfyUI."""
        for key in self.order:
            node = self.prompt[key]
            known = self.operators[node["class_type"]].inputs
            unknown = [name for name in node["inputs"] if name not in known and name not in IDLE]
            if unknown:
                raise ValueError(
                    f"the diffusers engine does not have the input {', '.join(unknown)} of "
                    f"{title_of(self.prompt, key)} ({node['class_type']}): use --engine comfyui"
                )

    def run(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Results:
        """Run all nodes, with `settings` (node id to inputs) in place of the workflow's own.

        Raises WorkflowError, naming the node, for inputs that a node refuses.
        """
        settings = settings or {}
        values: dict[str, Shown] = {}
        changed = set(settings)
        results = Results()
        for key in self.order:
            node = self.prompt[key]
            inputs = {**node["inputs"], **settings.get(key, {})}
            if any(_is_link(value) and value[0] in changed for value in inputs.values()):
                changed.add(key)
            keep = key not in self.varying
            mark = json.dumps(inputs, sort_keys=True) if keep else ""
            if keep and key in self._kept and self._kept[key][0] == mark and key not in changed:
                values[key] = self._kept[key][1]
            else:
                values[key] = self._call(key, inputs, values)
                if keep and key not in changed:
                    self._kept[key] = (mark, values[key])
            shown = values[key]
            for name in ("texts", "saved", "previewed"):
                if getattr(shown, name):
                    getattr(results, name)[key] = list(getattr(shown, name))
        return results

    def prepare(self) -> None:
        """Compute the results that do not depend on the picture. Raises WorkflowError."""
        values: dict[str, Shown] = {}
        for key in self.order:
            if key not in self.varying:
                inputs = self.prompt[key]["inputs"]
                values[key] = self._call(key, inputs, values)
                self._kept[key] = (json.dumps(inputs, sort_keys=True), values[key])

    def _call(self, key: str, inputs: dict, values: dict[str, Shown]) -> Shown:
        kind = self.prompt[key]["class_type"]
        operator = self.operators[kind]
        given = {}
        for name, value in inputs.items():
            if name not in operator.inputs:
                continue
            if _is_link(value):
                value = values[str(value[0])].outputs[value[1]]
            elif isinstance(value, dict) and "__value__" in value:
                value = value["__value__"]
            given[name] = value
        who = f"{title_of(self.prompt, key)} ({kind})"
        try:
            result = operator.run(**given)
        except (ValueError, FileNotFoundError, RuntimeError) as error:
            raise WorkflowError(f"{who}: {error}") from error
        except TypeError as error:
            missing = [name for name, p in operator.inputs.items()
                       if p.default is inspect.Parameter.empty and name not in given]  # fmt: skip
            if not missing:
                raise
            raise WorkflowError(f"{who}: {', '.join(missing)} is missing") from error
        return result if isinstance(result, Shown) else Shown(tuple(result))


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)


def _links(node: dict) -> list[str]:
    return [str(value[0]) for value in node["inputs"].values() if _is_link(value)]


def _in_order(prompt: dict, ends: list[str]) -> list[str]:
    """The nodes that `ends` need, each after its inputs. Raises ValueError for a ring or a missing
    node."""
    order: list[str] = []
    open_nodes: set[str] = set()

    def visit(key: str) -> None:
        if key in order:
            return
        if key not in prompt:
            raise ValueError(f"the workflow has a link to node {key}, which is not in it")
        if key in open_nodes:
            raise ValueError(f"the workflow's links form a ring at {title_of(prompt, key)}")
        open_nodes.add(key)
        for source in _links(prompt[key]):
            visit(source)
        order.append(key)

    for key in ends:
        visit(key)
    return order


def _downstream(prompt: dict, order: list[str], start: frozenset[str]) -> frozenset[str]:
    reached = set(start)
    for key in order:
        if reached.intersection(_links(prompt[key])):
            reached.add(key)
    return frozenset(reached)
