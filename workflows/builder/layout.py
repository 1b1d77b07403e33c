"""Where nodes stand: the Eclipse Layout Kernel (elkjs) lays a workflow out from left to right, each
column of its source a partition, and finds ways between the nodes for links that pass a column.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from .classes import known_classes
from .graph import WIDGETS, Node, Output, Workflow, declared_inputs
from .sight import SLOT, TITLE, WIDGET, folded_size

SCRIPT = Path(__file__).parent / "layout.mjs"
LIBRARY = Path(__file__).parents[2] / "node_modules" / "elkjs"
# Least width and height; many nodes grow when they have run, or show a picture.
ROOM = {
    "CLIPTextEncode": (240, 110),
    "LoadImage": (230, 314),
    "LossGraphNode": (240, 290),
    "PreviewAny": (240, 130),
    "PreviewImage": (220, 220),
    "SaveImage": (250, 290),
    "VAEDecode": (150, 46),
    "VAEEncode": (170, 46),
    "VisageCompare": (320, 500),
    "VisageLoadStarter": (240, 160),
    "VisageMosaicCompose": (250, 460),
    "VisageMosaicRestore": (240, 400),
    "VisagePixelBlend": (260, 420),
    "VisageRecolour": (260, 420),
    "VisageTradeoff": (260, 430),
    "VisageTrainFaceEdit": (240, 680),
    "VisageTrainFastStyle": (240, 450),
    "VisageTrainStyleLora": (240, 520),
}
MIN_WIDTH = 220  # of nodes with widgets, so that their values can be read
# The choices of a multiple choice open in a list of their own.
SHORTER = {"VisageFaceMask": 300}
NOTE = 1  # the id of "Read me"
NOTE_WIDTH = (250, 380)
LETTER, LINE = 6.3, 14.0  # of a note's text
PADDING, HEADING, GAP = 14, 40, 34  # of a column around its nodes, and between nodes
SAME_LANE = 30  # links of one output that lie as near as this become one
ASIDE = 10  # how far from the nodes of its layer a link bends
STEEP = 420  # a link that climbs as far between two layers gets a corner, or its curve swings wide
CORNER = 12
OPTIONS = {
    "elk.algorithm": "layered",
    "elk.direction": "RIGHT",
    "elk.partitioning.activate": "true",
    "elk.separateConnectedComponents": "false",
    "elk.edgeRouting": "POLYLINE",
    "elk.layered.spacing.edgeNodeBetweenLayers": "12",
    "elk.layered.thoroughness": "15",
    "elk.layered.edgeRouting.polyline.slopedEdgeZoneWidth": "0",
}
ROOMY = {
    "elk.spacing.nodeNode": str(GAP),
    "elk.spacing.edgeNode": "18",
    "elk.spacing.edgeEdge": "12",
    "elk.layered.spacing.nodeNodeBetweenLayers": "46",
}
CLOSE = {
    "elk.spacing.nodeNode": "24",
    "elk.spacing.edgeNode": "12",
    "elk.spacing.edgeEdge": "10",
    "elk.layered.spacing.nodeNodeBetweenLayers": "34",
}
TIGHT = {
    "elk.spacing.nodeNode": "16",
    "elk.spacing.edgeNode": "10",
    "elk.spacing.edgeEdge": "8",
    "elk.layered.spacing.nodeNodeBetweenLayers": "26",
}
# The alternatives that are tried: the placement of nodes in a layer, how much steep links widen the
# gap between layers, and the seeds of the search for few crossings; more where nothing else fits.
PLACEMENTS = ("NETWORK_SIMPLEX", "BRANDES_KOEPF", "LINEAR_SEGMENTS")
WIDENINGS = ("1", "3", "6")
SEEDS = ("1", "2")
MORE_SEEDS = ("3", "4", "5", "6", "7", "8")


@dataclass(frozen=True)
class Layout:
    """Position and size of each node by id, the box of each column, and the bends of each link.

    A box is left, top, width and height. Bends are by target and input.
    """

    positions: dict[int, tuple[int, int]]
    sizes: dict[int, tuple[int, int]]
    columns: list[tuple[int, int, int, int]]
    bends: dict[tuple[int, str], list[tuple[int, int]]]
    origins: dict[tuple[int, str], tuple[int, int]]

    def reroutes(self, links: dict[tuple[int, str], int]) -> tuple[list[dict], list[dict]]:
        """The page's reroutes, and for each link the last of those that it goes through.

        Links of one output share reroutes as long as they go the same way.
        """
        made: dict[tuple, dict] = {}
        ends = []
        for place, bends in self.bends.items():
            way: tuple = (self.origins[place],)
            parent = None
            for bend in bends:
                way = (*way, bend)
                if way not in made:
                    made[way] = {"id": len(made) + 1, "pos": list(bend), "linkIds": []}
                    if parent is not None:
                        made[way] = {**made[way], "parentId": parent}
                made[way]["linkIds"].append(links[place])
                parent = made[way]["id"]
            if parent is not None:
                ends.append({"id": links[place], "parentId": parent})
        return list(made.values()), ends


def layouts(
    workflow: Workflow, spacing: Mapping[str, str] = ROOMY, seeds: Iterable[str] = SEEDS
) -> Iterator[Layout]:
    """Several layouts of a workflow. Raises FileNotFoundError without Node.js or elkjs."""
    sizes = {
        node.id: folded_size(node.title, size_of(node.kind)[0])
        if node.folded
        else size_of(node.kind)
        for node in workflow.nodes
    }
    graph = _graph(workflow, sizes)
    graphs = [graph]
    for width in NOTE_WIDTH:
        note = _as_child(NOTE, _note_size(workflow.note, width), 0)
        graphs.append({**graph, "children": [note, *graph["children"]]})
    options = [
        {
            **OPTIONS,
            **spacing,
            "elk.layered.nodePlacement.strategy": placement,
            "elk.layered.spacing.edgeEdgeBetweenLayers": widening,
            "elk.randomSeed": seed,
        }
        for placement, widening, seed in product(PLACEMENTS, WIDENINGS, seeds)
    ]
    asked = [{**each, "layoutOptions": option} for option in options for each in graphs]
    for placed in _elk(asked):
        boxes = {int(child["id"]): child for child in placed["children"]}
        positions = {
            number: (round(box["x"]), round(box["y"]) + TITLE) for number, box in boxes.items()
        }
        bends, origins = _bends(placed["edges"], boxes.values())
        if NOTE in boxes:
            size = boxes[NOTE]["width"], boxes[NOTE]["height"] - TITLE
            columns = _columns(workflow, positions, {**sizes, NOTE: size}, bends)
            yield Layout(positions, {**sizes, NOTE: size}, columns, bends, origins)
            continue
        for place_note in (_note_on_top, _note_beside):
            columns = _columns(workflow, positions, sizes, bends)
            position, size = place_note(workflow, columns, positions)
            yield Layout(
                {**positions, NOTE: position}, {**sizes, NOTE: size}, columns, bends, origins
            )


def _bends(edges: list[dict], boxes: Iterable[dict]) -> tuple[dict, dict]:
    """Where each link bends, and the node and output that it comes from, by target and input.

    ELK bends links where a layer's widest node begins and ends; the page draws curves, which
    need some room.
    """
    bends, origins, lanes = {}, {}, {}
    lefts = {round(box["x"]) for box in boxes}
    for edge in edges:
        target, name = edge["id"].split(".", 1)
        source, number = edge["sources"][0].rsplit(".", 1)
        place, origin = (int(target), name), (int(source), int(number))
        section = edge["sections"][0]
        points = []
        for at in section.get("bendPoints", []):
            x, y = round(at["x"]), round(at["y"])
            x += -ASIDE if x in lefts else ASIDE
            taken = lanes.setdefault((origin, x), [])
            y = next((lane for lane in taken if abs(lane - y) <= SAME_LANE), y)
            taken.append(y)
            points.append((x, y))
        points = _with_corners(section["startPoint"], points, section["endPoint"])
        bends[place], origins[place] = points, origin
    return bends, origins


def _with_corners(start: dict, bends: list, end: dict) -> list[tuple[int, int]]:
    """The bends, and a corner at each end of a steep piece between them."""
    points = [(round(start["x"]), round(start["y"]))]
    for x, y in [*bends, (round(end["x"]), round(end["y"]))]:
        before_x, before_y = points[-1]
        if abs(y - before_y) > STEEP:
            corner = min(CORNER, (x - before_x) // 2)
            points += [(before_x + corner, before_y), (x - corner, y)]
        points.append((x, y))
    return points[1:-1]


def size_of(kind: str) -> tuple[int, int]:
    """Width and height of a node of this class without its title bar."""
    width, height = known_classes()[kind]["size"]
    least_width, least_height = ROOM.get(kind, (0, 0))
    if any(declared[0] in WIDGETS for declared in declared_inputs(kind).values()):
        least_width = max(least_width, MIN_WIDTH)
    height = max(SHORTER.get(kind, height), least_height)
    return max(width, least_width), height


def _note_on_top(workflow: Workflow, columns: list, positions: dict) -> tuple[tuple, tuple]:
    """Position and size of the note, on top of the first column; all columns grow where it needs
    room, upward or the first one to the left.
    """
    left, top, width, height = columns[0]
    size = _note_size(workflow.note, width - 2 * PADDING)
    first = min(positions[node.id][1] for node in workflow.nodes if node.column == 0) - TITLE
    note_top = min(top + HEADING + PADDING + TITLE, first - GAP - size[1])
    grown = top + HEADING + PADDING + TITLE - note_top
    right = left + width
    left = min(left, right - size[0] - 2 * PADDING)
    columns[:] = [(x, top - grown, w, height + grown) for x, _, w, _ in columns]
    columns[0] = (left, top - grown, right - left, height + grown)
    return (left + PADDING, note_top), size


def _note_beside(workflow: Workflow, columns: list, positions: dict) -> tuple[tuple, tuple]:
    """The same, left of all columns."""
    left, top = columns[0][:2]
    size = _note_size(workflow.note, NOTE_WIDTH[0])
    if size[1] > columns[0][3]:
        size = _note_size(workflow.note, NOTE_WIDTH[1])
    return (left - size[0] - GAP, top + TITLE), size


def _note_size(text: str, width: int) -> tuple[int, int]:
    width = min(max(width, NOTE_WIDTH[0]), NOTE_WIDTH[1])
    letters = int((width - 30) / LETTER)
    lines = sum(1 + len(line) // letters for line in text.splitlines())
    return width, round(24 + LINE * lines)


def _graph(workflow: Workflow, sizes: dict[int, tuple[int, int]]) -> dict:
    """The workflow as ELK reads it; a node's box includes its title bar."""
    children = []
    for node in workflow.nodes:
        width = sizes[node.id][0]
        ports = [
            _port(f"{node.id}:{name}", "WEST", 0, y) for name, y in _input_places(node).items()
        ]
        outputs = known_classes()[node.kind]["output"]
        ports += [
            _port(f"{node.id}.{number}", "EAST", width, TITLE / 2 if node.folded else _slot(number))
            for number in range(len(outputs))
        ]
        children.append({**_as_child(node.id, sizes[node.id], node.column), "ports": ports})
    edges = [
        {
            "id": f"{node.id}.{name}",
            "sources": [f"{value.node.id}.{value.number}"],
            "targets": [f"{node.id}:{name}"],
        }
        for node in workflow.nodes
        for name, value in node.inputs.items()
        if isinstance(value, Output)
    ]
    return {"id": workflow.name, "children": children, "edges": edges}


def _as_child(number: int, size: tuple[int, int], column: int) -> dict:
    return {
        "id": str(number),
        "width": size[0],
        "height": size[1] + TITLE,
        "layoutOptions": {
            "elk.portConstraints": "FIXED_POS",
            "elk.partitioning.partition": str(column),
        },
    }


def _port(name: str, side: str, x: float, y: float) -> dict:
    return {"id": name, "x": x, "y": y, "layoutOptions": {"elk.port.side": side}}


def _slot(number: int) -> float:
    return TITLE + (number + 0.7) * SLOT


def _input_places(node: Node) -> dict[str, float]:
    """How far below the box's top each input takes its link, by name."""
    if node.folded:
        return {name: TITLE / 2 for name in node.inputs if isinstance(node.inputs[name], Output)}
    declared = declared_inputs(node.kind)
    widgets = [name for name, (kind, settings, _) in declared.items() if _is_widget(kind, settings)]
    plain = [name for name in declared if name not in widgets]
    rows = max(len(plain), len(known_classes()[node.kind]["output"]))
    places = {name: _slot(number) for number, name in enumerate(plain)}
    for number, name in enumerate(widgets):
        places[name] = TITLE + rows * SLOT + 6 + (number + 0.5) * WIDGET
    return {name: y for name, y in places.items() if isinstance(node.inputs.get(name), Output)}


def _is_widget(kind: str, settings: dict) -> bool:
    return kind in WIDGETS and not settings.get("forceInput")


def _columns(
    workflow: Workflow, positions: dict, sizes: dict, bends: dict
) -> list[tuple[int, int, int, int]]:
    """Boxes around the nodes of each column, all as high as the highest; no link crosses their
    titles.
    """
    top = min(y for _, y in positions.values()) - TITLE - PADDING
    top = min([top, *(y for points in bends.values() for _, y in points)]) - HEADING
    bottom = max(y + sizes[node][1] for node, (_, y) in positions.items()) + PADDING
    boxes = []
    for number in range(len(workflow.columns)):
        inside = [node.id for node in workflow.nodes if node.column == number]
        inside += [NOTE] if number == 0 and NOTE in positions else []
        left = min(positions[node][0] for node in inside) - PADDING
        right = max(positions[node][0] + sizes[node][0] for node in inside) + PADDING
        boxes.append((left, top, right - left, bottom - top))
    return boxes


def _elk(graphs: list[dict]) -> list[dict]:
    node = shutil.which("node")
    if node is None or not LIBRARY.is_dir():
        raise FileNotFoundError(
            f"Laying out needs Node.js and elkjs: run `npm install` in {LIBRARY.parents[1]}."
        )
    answer = subprocess.run(  # noqa: S603
        [node, str(SCRIPT)],
        input=json.dumps(graphs),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise ValueError(f"elkjs could not lay out {graphs[0]['id']}: {answer.stderr.strip()}")
    return json.loads(answer.stdout)
