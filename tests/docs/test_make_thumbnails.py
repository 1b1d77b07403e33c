"""The script that makes the templates' thumbnails."""

import importlib.util
import json
from pathlib import Path

import pytest
import visage
from PIL import Image

PACK = Path(visage.__file__).parent


@pytest.fixture(scope="module")
def thumbnails():
    path = PACK / "docs" / "make_thumbnails.py"
    spec = importlib.util.spec_from_file_location("make_thumbnails", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_workflow_that_makes_pictures_has_nodes_with_the_titles_shown(thumbnails):
    shown = set()
    for name, (small, large, _) in thumbnails.THUMBNAILS.items():
        twin = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text())
        titles = {node["_meta"]["title"] for node in twin.values()}
        assert {*small, large} <= titles, name
        shown.add(name)
    shipped = {path.stem for path in (PACK / "workflows").glob("*.json")}
    assert set(thumbnails.SAME_JOB.values()) <= shown
    shown |= {*thumbnails.CANVASES, *thumbnails.SAME_JOB, *thumbnails.ALONE}
    assert shipped == shown


def test_what_went_in_stands_beside_what_came_out(thumbnails):
    red, wide = Image.new("RGB", (30, 30), "red"), Image.new("RGB", (80, 40), "blue")
    page = thumbnails.compose([("in", red), ("style", red)], ("out", wide))
    side = thumbnails.HEIGHT // 2
    assert page.size == (side + thumbnails.HEIGHT, thumbnails.HEIGHT)
    assert page.getpixel((side // 2, side // 2)) == (255, 0, 0)
    assert page.getpixel((side // 2, side + side // 2)) == (255, 0, 0)
    middle = side + thumbnails.HEIGHT // 2
    assert page.getpixel((middle, thumbnails.HEIGHT // 2)) == (0, 0, 255)
    above = page.getpixel((middle, 4))
    assert above == page.getpixel((middle, thumbnails.HEIGHT - 4)), "whole, not cut"


def test_a_bar_says_what_is_needed(thumbnails):
    page = Image.new("RGB", (300, 200), "blue")
    marked = thumbnails.mark(page, "SD 1.5", "shown: something else")
    assert marked.size == (300, 200 + thumbnails.BAR)
    assert marked.getpixel((150, 100 + thumbnails.BAR)) == (0, 0, 255)
    assert len(marked.crop((0, 0, 300, thumbnails.BAR)).getcolors()) > 2, "there is text on it"
