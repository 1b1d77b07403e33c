"""Addressing the nodes of a workflow, and turning the canvas form into the API form."""

import json

import pytest
from visage.headless.canvas import is_canvas_form, to_api_form
from visage.headless.workflow import node_titled, picture_input, read_workflow, set_input, title_of

PROMPT = {
    "1": {"class_type": "LoadImage", "inputs": {}, "_meta": {"title": "Picture"}},
    "2": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Result"}},
    "3": {"class_type": "SaveImage", "inputs": {}},
}
OBJECT_INFO = {
    "Load": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
    "Draw": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "seed": ["INT", {"control_after_generate": True}],
                "strength": ["FLOAT", {}],
                "parts": ["COMBO", {"multiselect": True, "options": ["a", "b", "c"]}],
                "clean": ["BOOLEAN", {}],
            },
            "optional": {
                "choice": [
                    "COMBO",
                    {"multiselect": True, "options": ["a", "b", "c"], "separator": ", "},
                ],
            },
        },
    },
    "Save": {"input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {}]}}},
}


def node(number: int, kind: str, values: list, inputs: tuple = (), **more) -> dict:
    """A node of the canvas form; `inputs` are (name, link) pairs."""
    slots = [{"name": name, "link": link, "type": "IMAGE"} for name, link in inputs]
    outputs = [{"type": "IMAGE"}]
    made = {"id": number, "type": kind, "widgets_values": values, "inputs": slots}
    return {**made, "outputs": outputs, "mode": 0, **more}


def canvas(middle: dict) -> dict:
    """Load -> `middle` -> Save."""
    nodes = [
        node(1, "Load", ["a.png", "image"], title="Picture"),
        middle,
        node(3, "Save", ["out"], [("images", 2)]),
        node(4, "Note", ["read me"]),
    ]
    links = [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]]
    return {"nodes": nodes, "links": links}


DRAW = [7, "randomize", 0.5, ["a", "b"], True, ["b", "c"]]


class TestTitles:
    def test_nodes_are_addressed_by_title(self):
        assert node_titled(PROMPT, "Result") == ("2", PROMPT["2"])

    def test_a_node_without_title_goes_by_its_class(self):
        assert title_of(PROMPT, "3") == "SaveImage"

    def test_an_unknown_title_is_refused_with_the_titles_there_are(self):
        with pytest.raises(ValueError, match="Picture, Result, SaveImage"):
            node_titled(PROMPT, "Prompt")


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "name", "value"),
        [
            ("Draw.seed=12", "seed", 12),
            ("Draw.strength=1", "strength", 1.0),
            ("Draw.parts=a, c", "parts", {"__value__": ["a", "c"]}),
            ("Draw.choice=a, c", "choice", "a, c"),
            ("Draw.clean=False", "clean", False),
        ],
    )
    def test_text_becomes_what_the_node_declares(self, text, name, value):
        prompt = {"1": {"class_type": "Draw", "inputs": {}}}
        set_input(prompt, text, OBJECT_INFO)
        assert prompt["1"]["inputs"] == {name: value}

    def test_a_value_may_hold_equals_signs_and_a_title_dots(self):
        prompt = {"1": {"class_type": "Save", "inputs": {}, "_meta": {"title": "v1.5"}}}
        set_input(prompt, "v1.5.prefix=a=b", OBJECT_INFO)
        assert prompt["1"]["inputs"]["prefix"] == "a=b"

    def test_pictures_go_to_the_only_loader_or_to_the_one_named(self):
        prompt = {"1": {"class_type": "Load", "inputs": {"image": "a.png"}}}
        assert picture_input(prompt, OBJECT_INFO, None) == ("1", "image")
        prompt["2"] = {**prompt["1"], "_meta": {"title": "Style"}}
        with pytest.raises(ValueError, match="Load, Style"):
            picture_input(prompt, OBJECT_INFO, None)
        assert picture_input(prompt, OBJECT_INFO, "Style") == ("2", "image")


class TestCanvas:
    def test_values_get_names_and_the_frontends_own_are_dropped(self):
        prompt = to_api_form(canvas(node(2, "Draw", DRAW, [("image", 1)])), OBJECT_INFO)
        assert prompt["1"]["inputs"] == {"image": "a.png"}
        assert prompt["1"]["_meta"] == {"title": "Picture"}
        assert prompt["2"]["inputs"] == {
            "image": ["1", 0],
            "seed": 7,
            "strength": 0.5,
            "parts": {"__value__": ["a", "b"]},
            "clean": True,
            "choice": "b, c",
        }
        assert prompt["3"]["inputs"] == {"images": ["2", 0], "prefix": "out"}
        assert set(prompt) == {"1", "2", "3"}

    @pytest.mark.parametrize(
        "middle",
        [
            node(2, "Draw", DRAW, [("image", 1)], mode=4),
            node(2, "Reroute", [], [("", 1)]),
        ],
    )
    def test_bypassed_nodes_and_reroutes_hand_on(self, middle):
        prompt = to_api_form(canvas(middle), OBJECT_INFO)
        assert set(prompt) == {"1", "3"}
        assert prompt["3"]["inputs"]["images"] == ["1", 0]

    def test_muted_nodes_leave_their_links_off(self):
        prompt = to_api_form(canvas(node(2, "Draw", DRAW, [("image", 1)], mode=2)), OBJECT_INFO)
        assert prompt["3"]["inputs"] == {"prefix": "out"}

    def test_a_primitive_gives_its_value(self):
        workflow = canvas(node(2, "Draw", DRAW, [("image", 1), ("strength", 3)]))
        workflow["nodes"].append(node(5, "PrimitiveNode", [0.25, "fixed"]))
        workflow["links"].append([3, 5, 0, 2, 1, "FLOAT"])
        assert to_api_form(workflow, OBJECT_INFO)["2"]["inputs"]["strength"] == 0.25

    def test_subgraphs_are_unfolded(self):
        links = [(1, -10, 0, 5, 0), (2, 5, 0, -20, 0), (3, -10, 1, 5, 2)]
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        inner = node(5, "Draw", DRAW, [("image", 1), ("strength", 3)])
        inside = {
            "id": "abc",
            "inputs": [{"name": "image", "type": "IMAGE"}, {"name": "strength", "type": "FLOAT"}],
            "nodes": [inner],
            "links": [{**dict(zip(names, link, strict=True)), "type": "IMAGE"} for link in links],
        }
        outer = node(2, "abc", [0.75], [("image", 1), ("strength", None)])
        outer["inputs"][1]["widget"] = {"name": "strength"}
        workflow = {**canvas(outer), "definitions": {"subgraphs": [inside]}}
        prompt = to_api_form(workflow, OBJECT_INFO)
        assert set(prompt) == {"1", "2:5", "3"}
        assert prompt["2:5"]["inputs"]["image"] == ["1", 0]
        assert prompt["2:5"]["inputs"]["strength"] == 0.75
        assert prompt["3"]["inputs"]["images"] == ["2:5", 0]

    def test_values_of_another_version_of_a_node_are_refused(self):
        with pytest.raises(ValueError, match="another version"):
            to_api_form(canvas(node(2, "Draw", [*DRAW, 3, 4], [("image", 1)])), OBJECT_INFO)

    def test_the_two_forms_are_told_apart(self):
        assert is_canvas_form(canvas(node(2, "Draw", DRAW)))
        assert not is_canvas_form(PROMPT)


def test_what_a_newer_server_requires_has_its_declared_default(tmp_path):
    """An API file made for an older version of a node; the page fills such inputs in as well."""
    info = {"Load": {"input": {"required": {"image": ["IMAGE"], "bypass": ["BOOLEAN", {}]}}}}
    info["Load"]["input"]["required"]["bypass"][1]["default"] = False
    file = tmp_path / "work.json"
    file.write_text(json.dumps({"1": {"class_type": "Load", "inputs": {}}}))
    assert read_workflow(file, info)["1"]["inputs"] == {"bypass": False}
