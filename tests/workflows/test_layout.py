"""Every shipped workflow can be read: one lane from left to right, and every link in sight."""

import json
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import visage
from visage.workflows.builder.sight import box, extent, hidden_links, ways

WORKFLOWS = Path(visage.__file__).parent / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
SCREEN, ZOOM = (1920, 1080), 0.6
GROUP_TITLE = 34  # height of a column's title


@pytest.fixture(params=NAMES)
def canvas(request) -> dict:
    content = json.loads((WORKFLOWS / f"{request.param}.json").read_text(encoding="utf-8"))
    return {**content, "name": request.param}


def test_it_fits_a_screen_at_sixty_per_cent(canvas):
    width, height = extent(canvas)
    assert width * ZOOM <= SCREEN[0]
    assert height * ZOOM <= SCREEN[1]


def test_no_link_crosses_the_title_of_a_column(canvas):
    top = min(group["bounding"][1] for group in canvas["groups"])
    reroutes = canvas["extra"].get("reroutes", [])
    assert all(reroute["pos"][1] >= top + GROUP_TITLE for reroute in reroutes)


def test_no_node_lies_on_another(canvas):
    boxes = {node["title"]: box(node) for node in canvas["nodes"]}
    for (first, a), (second, b) in combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{first} lies over {second}"


def test_columns_stand_side_by_side_and_hold_their_nodes(canvas):
    boxes = [group["bounding"] for group in canvas["groups"]]
    for left, right in pairwise(boxes):
        assert left[0] + left[2] <= right[0]
        assert (left[1], left[3]) == (right[1], right[3])
    for node in canvas["nodes"]:
        left, top, right, bottom = box(node)
        inside = [
            (x, y, width, height)
            for x, y, width, height in boxes
            if x <= left and y <= top and right <= x + width and bottom <= y + height
        ]
        assert len(inside) == 1 or node["type"] == "Note", node["title"]


def test_links_run_rightward(canvas):
    for way in ways(canvas):
        assert all(a[0] <= b[0] for a, b in pairwise(way.points)), way.name


def test_no_link_runs_behind_a_node(canvas):
    assert hidden_links(canvas) == []
