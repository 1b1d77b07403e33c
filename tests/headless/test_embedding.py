"""The canvas form that is written into results says what ran."""

import json

import pytest
from visage.headless.canvas import to_api_form
from visage.headless.embedding import canvas_of_run, read_canvas

from .test_workflow import DRAW, OBJECT_INFO, canvas, node


@pytest.fixture
def workflow() -> dict:
    return canvas(node(2, "Draw", [*DRAW], [("image", 1)]))


@pytest.fixture
def subgraph() -> dict:
    """Load -> a subgraph that holds Draw and shows its strength -> Save."""
    links = [(1, -10, 0, 5, 0), (2, 5, 0, -20, 0), (3, -10, 1, 5, 2)]
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    inner = node(5, "Draw", DRAW, [("image", 1), ("strength", 3)])
    inside = {
        "id": "abc",
        "nodes": [inner],
        "inputs": [{"name": "image"}, {"name": "strength"}],
        "links": [{**dict(zip(names, link, strict=True)), "type": "IMAGE"} for link in links],
    }
    outer = node(2, "abc", [0.75], [("image", 1), ("strength", None)])
    outer["inputs"][1]["widget"] = {"name": "strength"}
    return {**canvas(outer), "definitions": {"subgraphs": [inside]}}


def run_with(workflow: dict, changes: dict) -> dict:
    prompt = to_api_form(workflow, OBJECT_INFO)
    for (key, name), value in changes.items():
        prompt[key]["inputs"][name] = value
    return prompt


def test_what_was_set_stands_in_its_widget(workflow):
    changes = {
        ("1", "image"): "visage/mine.png",
        ("2", "seed"): 2**60,
        ("2", "clean"): False,
        ("2", "parts"): {"__value__": ["c"]},
        ("2", "choice"): "a, c",
    }
    prompt = run_with(workflow, changes)
    made = canvas_of_run(workflow, prompt, OBJECT_INFO)
    assert to_api_form(made, OBJECT_INFO) == prompt
    assert made["nodes"][1]["widgets_values"] == [
        2**60, "randomize", 0.5, ["c"], False, ["a", "c"],
    ]  # fmt: skip


def test_nothing_set_leaves_the_canvas_as_it_is(workflow):
    assert canvas_of_run(workflow, run_with(workflow, {}), OBJECT_INFO) == workflow


def test_values_that_are_alike_do_not_change_places(workflow):
    """The sampler's two numbers are equal before, so that the first place tried looks right."""
    workflow["nodes"][1]["widgets_values"][:3] = [1, "fixed", 1]
    prompt = run_with(workflow, {("2", "strength"): 0.25})
    made = canvas_of_run(workflow, prompt, OBJECT_INFO)
    assert made["nodes"][1]["widgets_values"][:3] == [1, "fixed", 0.25]


@pytest.mark.parametrize("name", ["strength", "seed"])
def test_a_subgraphs_values_stand_where_it_shows_them(subgraph, name):
    prompt = run_with(subgraph, {("2:5", name): 3})
    assert to_api_form(canvas_of_run(subgraph, prompt, OBJECT_INFO), OBJECT_INFO) == prompt


def test_names_that_a_newer_page_saves_follow(workflow):
    workflow["nodes"][2]["widgets_values_named"] = {"prefix": "out"}
    made = canvas_of_run(workflow, run_with(workflow, {("3", "prefix"): "mine"}), OBJECT_INFO)
    assert made["nodes"][2]["widgets_values"] == ["mine"]
    assert made["nodes"][2]["widgets_values_named"] == {"prefix": "mine"}


def test_a_value_over_a_link_has_no_place(workflow):
    prompt = run_with(workflow, {("2", "image"): "a text"})
    assert canvas_of_run(workflow, prompt, OBJECT_INFO) is None


def test_an_api_file_holds_no_canvas(workflow, tmp_path):
    file = tmp_path / "work.json"
    file.write_text(json.dumps(workflow))
    assert read_canvas(file) == workflow
    file.write_text(json.dumps(run_with(workflow, {})))
    assert read_canvas(file) is None
