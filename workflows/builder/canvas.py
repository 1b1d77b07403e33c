"""The two forms of a workflow: the canvas form that the page opens, and its API twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise, product
from math import dist

from ...headless.canvas import to_api_form
from .classes import known_classes
from .graph import COLOURS, WIDGETS, Node, Output, Workflow, declared_inputs
from .layout import CLOSE, MORE_SEEDS, ROOMY, SEEDS, TIGHT, Layout, layouts, size_of
from .sight import extent, hidden_links, ways

BYPASSED = 4
SCREEN = (1920 / 0.6, 1080 / 0.6)  # what a screen shows at 60 %
NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}
# Inputs that newer versions of ComfyUI require and the oldest supported one ignores.
NEWER_INPUTS = {"LoraModelLoader": {"bypass": False}}
FRONTEND = "1.27.10"  # that of the oldest ComfyUI which these files are for


def build(workflow: Workflow) -> tuple[dict, dict]:
    """Canvas form and API form."""
    searches = product((SEEDS, MORE_SEEDS), (ROOMY, CLOSE, TIGHT))
    canvas = _easiest(workflow, *next(searches))
    for seeds, spacing in searches:
        if not _fits(canvas):
            canvas = min(canvas, _easiest(workflow, seeds, spacing), key=_strain)
    return canvas, api_twin(canvas)


def _easiest(workflow: Workflow, seeds: Iterable[str], spacing: Mapping[str, str]) -> dict:
    return min(
        (canvas_form(workflow, each) for each in layouts(workflow, spacing, seeds)), key=_strain
    )


def _fits(canvas: dict) -> bool:
    width, height = extent(canvas)
    return width <= SCREEN[0] and height <= SCREEN[1]


def api_twin(canvas: dict) -> dict:
    """The API form of a canvas, for every supported version of ComfyUI."""
    twin = to_api_form(canvas, known_classes())
    for node in twin.values():
        node["inputs"] |= NEWER_INPUTS.get(node["class_type"], {})
    return twin


def _strain(canvas: dict) -> tuple[float, ...]:
    """How hard a canvas is to read: links out of sight, what a screen does not hold, and then how
    large it is and how long its links are.
    """
    width, height = extent(canvas)
    over = max(0, width - SCREEN[0]) + max(0, height - SCREEN[1])
    length = sum(dist(a, b) for way in ways(canvas) for a, b in pairwise(way.points))
    return len(hidden_links(canvas)), over, length + width + height


def canvas_form(workflow: Workflow, layout: Layout) -> dict:
    """The canvas form that the page would save."""
    links = _links(workflow)
    numbers = {(target.id, name): link[0] for link, target, name in links}
    nodes = [_note(workflow, layout)]
    nodes += [node_form(node, links, numbers, layout) for node in workflow.nodes]
    for order, node in enumerate(nodes):
        node["order"] = order
    groups = [
        {
            "id": number,
            "title": title,
            "bounding": list(layout.columns[number - 1]),
            "color": COLOURS[(number - 1) % len(COLOURS)],
            "font_size": 22,
            "flags": {},
        }
        for number, title in enumerate(workflow.columns, 1)
    ]
    reroutes, extensions = layout.reroutes(numbers)
    return {
        "id": "00000000-0000-0000-0000-000000000000",
        "revision": 0,
        "last_node_id": max(node["id"] for node in nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": [link for link, _, _ in links],
        "groups": groups,
        "config": {},
        "extra": {
            "ds": {"scale": 0.6, "offset": [100, 100]},
            "frontendVersion": FRONTEND,
            **({"reroutes": reroutes, "linkExtensions": extensions} if reroutes else {}),
        },
        "version": 0.4,
    }


def _links(workflow: Workflow) -> list[tuple[list, Node, str]]:
    """Each link as the canvas form has it, its target and the name of the target's input."""
    found = []
    for node in workflow.nodes:
        slots = _slots(node)
        for name, value in node.inputs.items():
            if isinstance(value, Output):
                kind = known_classes()[value.node.kind]["output"][value.number]
                link = [len(found) + 1, value.node.id, value.number, node.id, slots.index(name)]
                found.append(([*link, kind], node, name))
    return found


def _slots(node: Node) -> list[str]:
    """The inputs that the canvas form lists: those without a widget, and linked widgets."""
    return [
        name
        for name, (kind, settings, _) in declared_inputs(node.kind).items()
        if kind not in WIDGETS
        or settings.get("forceInput")
        or isinstance(node.inputs.get(name), Output)
    ]


def node_form(node: Node, links: list, numbers: dict, layout: Layout) -> dict:
    """A node as the canvas form has it; `numbers` holds its inputs' links by (id, name)."""
    info, declared = known_classes()[node.kind], declared_inputs(node.kind)
    inputs = []
    for name in _slots(node):
        kind, settings, optional = declared[name]
        slot = {"name": name}
        if optional and kind not in WIDGETS:
            slot["shape"] = 7
        slot["type"] = kind
        if kind in WIDGETS and not settings.get("forceInput"):
            slot["widget"] = {"name": name}
        slot["link"] = numbers.get((node.id, name))
        inputs.append(slot)
    outputs = []
    for number, (name, kind) in enumerate(zip(info["output_name"], info["output"], strict=True)):
        fed = [link[0] for link, _, _ in links if link[1:3] == [node.id, number]]
        outputs.append({"name": name, "type": kind, "links": fed or None})
    values = list(_widget_values(node))
    return {
        "id": node.id,
        "type": node.kind,
        "pos": list(layout.positions[node.id]),
        # A folded node is saved as large as it is when it opens.
        "size": list(size_of(node.kind) if node.folded else layout.sizes[node.id]),
        "flags": {"collapsed": True} if node.folded else {},
        "order": 0,
        "mode": BYPASSED if node.bypass else 0,
        "inputs": inputs,
        "outputs": outputs,
        "title": node.title,
        "properties": {"Node name for S&R": node.kind},
        **({"widgets_values": values} if values else {}),
    }


def _widget_values(node: Node):
    """Values by position, each with that of its companion behind it."""
    for name, (kind, settings, _) in declared_inputs(node.kind).items():
        if kind not in WIDGETS or settings.get("forceInput"):
            continue
        value = node.inputs[name]
        yield settings.get("default") if isinstance(value, Output) else value
        seed = kind == "INT" and name in ("seed", "noise_seed")
        if settings.get("control_after_generate") or seed:
            yield "fixed"
        elif settings.get("image_upload"):
            yield "image"


def _note(workflow: Workflow, layout: Layout) -> dict:
    return {
        "id": 1,
        "type": "Note",
        "pos": list(layout.positions[1]),
        "size": list(layout.sizes[1]),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Read me",
        "properties": {},
        "widgets_values": [workflow.note],
        **NOTE_COLOURS,
    }
