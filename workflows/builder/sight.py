"""The visible geometry of a canvas: the boxes of its nodes, the curves of its links, and the links
that run behind nodes.

The curves are those of the page's frontend: cubic, leaving an output and entering an input level,
through reroutes in the mean of both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import atan2, cos, dist, pi, sin

import numpy as np

TITLE, SLOT, WIDGET = 30, 20, 24  # heights on LiteGraph's canvas
LETTER, ROUND_TITLE = 7.2, 60  # of a title: the width of a letter, and what is around them
BEND = 80  # how far a curve's control point lies from a reroute, at most
EDGE = 4  # a link may touch a node's edge
SAMPLES = np.linspace(0, 1, 40)
Point = tuple[float, float]


@dataclass(frozen=True)
class Way:
    """A link: what it joins, and the points that it passes: output, reroutes, input."""

    name: str
    ends: tuple[int, int]
    points: list[Point]
    reroutes: list[int]


def box(node: dict) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a node with its title bar."""
    (x, y), (width, height) = node["pos"], node["size"]
    if node["flags"].get("collapsed"):
        width, height = folded_size(node["title"], width)
    return x, y - TITLE, x + width, y + height


def folded_size(title: str, width: float) -> tuple[int, int]:
    """Width and height below the title bar of a folded node, of which the page shows the title.

    `width` is that of the open node, at most.
    """
    return round(min(width, ROUND_TITLE + LETTER * len(title))), 0


def extent(canvas: dict) -> tuple[float, float]:
    """Width and height of all nodes and columns."""
    boxes = [box(node) for node in canvas["nodes"]]
    boxes += [(x, y, x + w, y + h) for x, y, w, h in (g["bounding"] for g in canvas["groups"])]
    edges = np.array(boxes)
    return tuple(edges[:, 2:].max(axis=0) - edges[:, :2].min(axis=0))


def ways(canvas: dict) -> list[Way]:
    """Every link of the canvas."""
    nodes = {node["id"]: node for node in canvas["nodes"]}
    reroutes = {reroute["id"]: reroute for reroute in canvas["extra"].get("reroutes", [])}
    last = {end["id"]: end["parentId"] for end in canvas["extra"].get("linkExtensions", [])}
    found = []
    for number, source, output, target, slot, *_ in canvas["links"]:
        passed, at = [], last.get(number)
        while at is not None:
            passed.insert(0, at)
            at = reroutes[at].get("parentId")
        points = [_output_place(nodes[source], output)]
        points += [tuple(reroutes[at]["pos"]) for at in passed]
        points.append(_input_place(nodes[target], slot))
        name = f"{nodes[source]['title']} -> {nodes[target]['title']}"
        found.append(Way(name, (source, target), points, passed))
    return found


def hidden_links(canvas: dict) -> list[str]:
    """Which link runs behind which node."""
    boxes = {node["id"]: (node["title"], box(node)) for node in canvas["nodes"]}
    links = ways(canvas)
    directions = _directions(links)
    found = []
    for way in links:
        x, y = _curve(way, directions)
        for number, (title, (left, top, right, bottom)) in boxes.items():
            inside = (left + EDGE < x) & (x < right - EDGE) & (top + EDGE < y) & (y < bottom - EDGE)
            if number not in way.ends and inside.any():
                found.append(f"{way.name} behind {title}")
    return found


def _output_place(node: dict, slot: int) -> Point:
    if node["flags"].get("collapsed"):
        return box(node)[2], node["pos"][1] - TITLE / 2
    return node["pos"][0] + node["size"][0], node["pos"][1] + (slot + 0.7) * SLOT


def _input_place(node: dict, slot: int) -> Point:
    x, y = node["pos"]
    if node["flags"].get("collapsed"):
        return x, y - TITLE / 2
    if "widget" not in node["inputs"][slot]:
        return x, y + (slot + 0.7) * SLOT
    return x, y + node["size"][1] / 2  # somewhere along its widgets


def _directions(links: list[Way]) -> dict[int, float]:
    """The angle in which links pass each reroute."""
    onward: dict[int, list[float]] = {}
    coming: dict[int, float] = {}
    for way in links:
        for number, at in enumerate(way.reroutes, 1):
            before, here, after = way.points[number - 1 : number + 2]
            onward.setdefault(at, []).append(atan2(after[1] - here[1], after[0] - here[0]))
            coming[at] = atan2(here[1] - before[1], here[0] - before[0])
    angles = {}
    for at, following in onward.items():
        turn = (coming[at] - sum(following) / len(following)) / 2
        angles[at] = coming[at] - (turn + pi if abs(turn) > pi / 2 else turn)
    return angles


def _curve(way: Way, directions: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Points along a link, [number] each."""
    pieces = list(_pieces(way, directions))
    return tuple(np.concatenate([piece[axis] for piece in pieces]) for axis in (0, 1))


def _pieces(way: Way, directions: dict[int, float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    angles = [None, *(directions[at] for at in way.reroutes), None]
    for (a, b), (start, end) in zip(pairwise(way.points), pairwise(angles), strict=True):
        reach = dist(a, b) / 4
        first = _ahead(a, start, reach, 1)
        second = _ahead(b, end, reach, -1)
        yield tuple(
            (1 - SAMPLES) ** 3 * a[axis]
            + 3 * SAMPLES * (1 - SAMPLES) ** 2 * first[axis]
            + 3 * SAMPLES**2 * (1 - SAMPLES) * second[axis]
            + SAMPLES**3 * b[axis]
            for axis in (0, 1)
        )


def _ahead(point: Point, angle: float | None, reach: float, way: int) -> Point:
    """A control point: level at a node, in the reroute's direction elsewhere."""
    if angle is None:
        return point[0] + way * reach, point[1]
    reach = way * min(reach, BEND)
    return point[0] + reach * cos(angle), point[1] + reach * sin(angle)
