"""The canvas form becomes the API form as in the page: subgraphs, nodes of the page, widgets."""

from datetime import datetime

import pytest
from visage.headless.canvas import to_api_form
from visage.headless.file_names import date_files
from visage.headless.validation import problems
from visage.headless.widgets import fill_in, widget_values

PICTURE = {"output": ["IMAGE"], "python_module": "nodes"}
OBJECT_INFO = {
    "Load": {
        **PICTURE,
        "input": {
            "required": {
                "image": [["a.png", "b.png"], {"image_upload": True}],
                "channel": [["red", "alpha"]],
            }
        },
    },
    "Draw": {
        **PICTURE,
        "input": {
            "required": {
                "image": ["IMAGE"],
                "text": ["STRING", {"dynamicPrompts": True}],
                "seed": ["INT", {"control_after_generate": True}],
                "strength": ["FLOAT", {"default": 0.5}],
            }
        },
    },
    "Save": {
        "output": [],
        "output_node": True,
        "python_module": "nodes",
        "input": {
            "required": {
                "images": ["IMAGE"],
                "filename_prefix": ["STRING", {"default": "ComfyUI"}],
            }
        },
    },
}
LOAD = ["a.png", "red", "image"]
DRAW = ["a hat", 7, "randomize", 0.25]


def node(number: int, kind: str, values: list | dict | None, *inputs: tuple, **more) -> dict:
    """A node of the canvas form; `inputs` are (name, link) pairs."""
    slots = [{"name": name, "link": link, "type": "IMAGE"} for name, link in inputs]
    made = {"id": number, "type": kind, "inputs": slots, "outputs": [{"type": "IMAGE"}], "mode": 0}
    return made | ({} if values is None else {"widgets_values": values}) | more


def canvas(*nodes: dict, subgraphs: tuple = ()) -> dict:
    """A canvas in which every node's first output feeds all inputs that name its id as link."""
    links = [
        [10 * one["id"] + number, int(slot["link"]), 0, one["id"], number, "IMAGE"]
        for one in nodes
        for number, slot in enumerate(one["inputs"])
        if slot["link"] is not None
    ]
    for one in nodes:
        for number, slot in enumerate(one["inputs"]):
            if slot["link"] is not None:
                slot["link"] = 10 * one["id"] + number
    return {"nodes": list(nodes), "links": links, "definitions": {"subgraphs": list(subgraphs)}}


def through(*middle: dict, last: int = 2, subgraphs: tuple = ()) -> dict:
    """Load -> the middle -> Save, whose input comes from node `last`."""
    load, save = node(1, "Load", LOAD), node(9, "Save", ["out"], ("images", last))
    return canvas(load, *middle, save, subgraphs=subgraphs)


def subgraph(key: str, names: tuple, inner: list[dict], links: list[tuple]) -> dict:
    """A definition; `links` are (id, origin, output, target, slot), -10 and -20 its own sides."""
    ends = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": key,
        "inputs": [{"name": name, "type": "*"} for name in names],
        "nodes": inner,
        "links": [{**dict(zip(ends, link, strict=True)), "type": "*"} for link in links],
    }


def painting(key: str = "paint") -> dict:
    """A subgraph of one Draw (5), whose picture, strength and text are its inputs."""
    inner = node(5, "Draw", DRAW, ("image", 1), ("text", 4), ("strength", 3))
    links = [(1, -10, 0, 5, 0), (2, 5, 0, -20, 0), (3, -10, 1, 5, 2), (4, -10, 2, 5, 1)]
    return subgraph(key, ("image", "strength", "text"), [inner], links)


class TestSubgraphs:
    def inner(self, **host) -> dict:
        """What the inner node gets, for a host with these fields."""
        outer = node(2, "paint", None, ("image", 1), **host)
        prompt = to_api_form(through(outer, subgraphs=(painting(),)), OBJECT_INFO)
        return prompt["2:5"]["inputs"]

    def test_values_find_inputs_that_the_saved_node_leaves_out(self):
        inputs = self.inner(widgets_values=[0.75, "a beard"])
        assert inputs["strength"] == 0.75
        assert inputs["text"] == "a beard"
        assert inputs["image"] == ["1", 0]

    def test_a_node_without_values_leaves_the_inner_ones(self):
        inputs = self.inner()
        assert (inputs["strength"], inputs["text"]) == (0.25, "a hat")

    def test_proxy_widgets_are_taken_by_name(self):
        inputs = self.inner(
            widgets_values=["a beard", 11, 0.75],
            properties={"proxyWidgets": [["-1", "text"], ["5", "seed"], ["5", "strength"]]},
        )
        assert inputs["text"] == "a beard"
        assert inputs["seed"] == 11
        assert inputs["strength"] == 0.75

    def test_values_go_through_nested_subgraphs(self):
        middle = node(7, "paint", None, ("image", 1), ("strength", 3))
        links = [(1, -10, 0, 7, 0), (2, 7, 0, -20, 0), (3, -10, 1, 7, 1)]
        outside = subgraph("outside", ("image", "power"), [middle], links)
        outer = node(2, "outside", [0.75], ("image", 1))
        workflow = through(outer, subgraphs=(painting(), outside))
        inputs = to_api_form(workflow, OBJECT_INFO)["2:7:5"]["inputs"]
        assert (inputs["strength"], inputs["text"]) == (0.75, "a hat")

    def test_a_subgraph_in_itself_is_refused(self):
        inner = node(2, "loop", None, ("image", 1))
        loop = subgraph("loop", ("image",), [inner], [(1, -10, 0, 2, 0), (2, 2, 0, -20, 0)])
        with pytest.raises(ValueError, match="form a circle"):
            to_api_form(
                through(node(2, "loop", None, ("image", 1)), subgraphs=(loop,)), OBJECT_INFO
            )


class TestNodesOfThePage:
    @pytest.mark.parametrize(
        "extra",
        [
            node(5, "MarkdownNote", ["read me"]),
            node(5, "Label (rgthree)", []),
            node(5, "Fast Groups Bypasser (rgthree)", None),
            node(5, "Fast Muter (rgthree)", None, ("", 2)),
            node(5, "Bookmark of some pack", ["1", 1]),
            node(5, "SetNode", ["left over"], ("IMAGE", 2)),
        ],
    )
    def test_what_nothing_uses_is_dropped(self, extra):
        workflow = through(node(2, "Draw", DRAW, ("image", 1)), extra)
        assert set(to_api_form(workflow, OBJECT_INFO)) == {"1", "2", "9"}

    @pytest.mark.parametrize("kinds", [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
    def test_get_gives_what_was_set(self, kinds):
        kept = node(2, kinds[0], ["picture"], ("IMAGE", 1))
        prompt = to_api_form(through(kept, node(3, kinds[1], ["picture"]), last=3), OBJECT_INFO)
        assert prompt["9"]["inputs"]["images"] == ["1", 0]
        assert set(prompt) == {"1", "9"}

    def test_a_get_without_its_set_is_named(self):
        with pytest.raises(ValueError, match='gets "picture", but no node sets that name'):
            to_api_form(through(node(3, "GetNode", ["picture"]), last=3), OBJECT_INFO)

    @pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)"])
    def test_reroutes_hand_on(self, kind):
        prompt = to_api_form(through(node(2, kind, None, ("", 1))), OBJECT_INFO)
        assert prompt["9"]["inputs"]["images"] == ["1", 0]

    @pytest.mark.parametrize("kind", ["workflow/mine", "workflow>mine"])
    def test_old_group_nodes_are_refused_with_the_way_out(self, kind):
        with pytest.raises(ValueError, match="convert it to nodes or to a subgraph"):
            to_api_form(through(node(2, kind, [], ("image", 1))), OBJECT_INFO)

    def test_links_that_a_pack_makes_in_the_browser_are_refused(self):
        kind = "Anything Everywhere"
        info = {**OBJECT_INFO, kind: {"input": {}, "output_node": True}}
        with pytest.raises(ValueError, match="convert its connections to real links"):
            to_api_form(through(node(2, kind, [], ("anything", 1))), info)

    def test_a_node_that_the_server_lacks_stays_and_is_named(self):
        workflow = through(node(2, "Sharpen", [1], ("image", 1)))
        (said,) = problems(to_api_form(workflow, OBJECT_INFO), OBJECT_INFO)
        assert said.startswith("Sharpen (Sharpen): the server does not have this node.")

    def test_what_the_browser_draws_is_refused_where_it_is_needed(self):
        camera = {"output": ["IMAGE"], "input": {"required": {"image": ["WEBCAM"]}}}
        info = {**OBJECT_INFO, "Webcam": camera}
        with pytest.raises(ValueError, match="takes its picture with the browser's camera"):
            to_api_form(through(node(2, "Webcam", [""])), info)
        assert "2" not in to_api_form(through(node(2, "Webcam", [""]), last=1), info)


class TestWidgets:
    def test_what_was_not_saved_has_the_declared_default(self):
        prompt = to_api_form(through(node(2, "Draw", None, ("image", 1))), OBJECT_INFO)
        assert prompt["2"]["inputs"] == {"image": ["1", 0], "text": "", "seed": 0, "strength": 0.5}

    @pytest.mark.parametrize("values", [None, [], ["out"]])
    def test_a_file_name_that_the_page_fills_in(self, values):
        workflow = canvas(node(1, "Load", LOAD), node(9, "Save", values, ("images", 1)))
        prefix = to_api_form(workflow, OBJECT_INFO)["9"]["inputs"]["filename_prefix"]
        assert prefix == ("out" if values else "ComfyUI")

    def test_file_names_take_values_of_other_nodes(self):
        draw = node(2, "Draw", DRAW, ("image", 1), title="Sampler")
        workflow = through(draw)
        workflow["nodes"][-1]["widgets_values"] = ["%Sampler.seed%_%Load.image%_%width%_%No.x%"]
        prefix = to_api_form(workflow, OBJECT_INFO)["9"]["inputs"]["filename_prefix"]
        assert prefix == "7_a.png_%width%_%No.x%"

    def test_file_names_take_the_date_of_queueing(self):
        prompt = {"1": {"inputs": {"filename_prefix": "a/%date:yyyy-MM-dd_hhmmss%_%date:yy%"}}}
        date_files(prompt, datetime(2026, 3, 4, 5, 6, 7))
        assert prompt["1"]["inputs"]["filename_prefix"] == "a/2026-03-04_050607_26"

    def test_the_upload_button_comes_last(self):
        prompt = to_api_form(through(node(2, "Draw", DRAW, ("image", 1))), OBJECT_INFO)
        assert prompt["1"]["inputs"] == {"image": "a.png", "channel": "red"}

    def test_a_preview_behind_the_values_of_a_node_of_comfyui_is_no_value(self):
        values = widget_values(node(1, "Load", [*LOAD, "preview"]), OBJECT_INFO["Load"])
        assert values == {"image": "a.png", "channel": "red"}

    def test_what_a_packs_page_adds_is_refused(self):
        info = {**OBJECT_INFO["Draw"], "python_module": "custom_nodes.more"}
        with pytest.raises(ValueError, match="adds inputs in the browser"):
            widget_values(node(1, "Draw", [*DRAW, {"lora": "a"}]), info)

    def test_named_values_of_a_pack_keep_what_its_page_adds_but_for_previews(self):
        info = {
            "input": {"required": {"format": [["mp4"]], "rate": ["FLOAT", {"default": 8.0}]}},
            "python_module": "custom_nodes.video",
        }
        saved = {"format": "mp4", "crf": 19, "videopreview": {"hidden": False, "params": {}}}
        values = widget_values(node(1, "Combine", saved), info)
        assert values == {"format": "mp4", "crf": 19, "rate": 8.0}

    def test_a_shifted_value_is_refused(self):
        with pytest.raises(ValueError, match="seed takes INT, and 'randomize' was saved for it"):
            to_api_form(through(node(2, "Draw", ["a hat", "randomize"], ("image", 1))), OBJECT_INFO)

    def test_names_go_before_the_order(self):
        named = {"seed": 3, "control_after_generate": "fixed", "text": "a beard"}
        values = widget_values(
            node(1, "Draw", DRAW, widgets_values_named=named), OBJECT_INFO["Draw"]
        )
        assert values == {"text": "a beard", "seed": 3, "strength": 0.5}

    def test_a_choice_brings_its_own_inputs(self):
        options = [
            {"key": "off", "inputs": {}},
            {"key": "on", "inputs": {"required": {"seed": ["INT", {}], "top": ["FLOAT", {}]}}},
        ]
        declared = {
            "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": options}],
            "clean": ["BOOLEAN", {"default": True}],
        }
        info = {"input": {"required": declared}, "python_module": "nodes"}
        on = widget_values(node(1, "Think", ["on", 5, 0.9, False]), info)
        assert on == {"mode": "on", "mode.seed": 5, "mode.top": 0.9, "clean": False}
        assert widget_values(node(1, "Think", ["off", False]), info) == {
            "mode": "off",
            "clean": False,
        }
        assert widget_values(node(1, "Think", []), info) == {"mode": "off", "clean": True}

    def test_values_of_inputs_that_lost_their_widget_are_passed_over(self):
        declared = {
            "batch": ["INT", {"forceInput": True}],
            "steps": ["INT", {}],
        }
        info = {"input": {"required": declared}, "python_module": "nodes"}
        assert widget_values(node(1, "Run", [1, 20]), info) == {"steps": 20}
        assert widget_values(node(1, "Run", [20]), info) == {"steps": 20}


class TestPrompts:
    @pytest.mark.parametrize(
        ("text", "filled"),
        [
            ("a {hat}", "a hat"),
            (r"a \{hat\}", "a {hat}"),
            ("a hat // red\n/* or\nblue */ and scarf", "a hat \n and scarf"),
            (r"a \(hat:1.2\)", r"a \(hat:1.2\)"),
        ],
    )
    def test_braces_and_comments(self, text, filled):
        assert fill_in(text, "any") == filled

    def test_one_of_each_brace_is_chosen(self):
        found = {fill_in("a {red|{dark|light} blue} hat", str(i)) for i in range(40)}
        assert found == {"a red hat", "a dark blue hat", "a light blue hat"}

    def test_the_same_is_chosen_each_time(self):
        workflow = through(node(2, "Draw", ["{a|b|c|d|e|f}", 7, "fixed", 1.0], ("image", 1)))
        texts = {to_api_form(workflow, OBJECT_INFO)["2"]["inputs"]["text"] for _ in range(3)}
        assert len(texts) == 1
        assert texts <= set("abcdef")


def test_nothing_is_asked_of_what_no_output_needs():
    prompt = to_api_form(through(node(2, "Draw", DRAW), last=1), OBJECT_INFO)
    assert problems(prompt, OBJECT_INFO) == []


def test_a_checkpoint_that_is_not_there_is_named_with_where_to_get_one():
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mine.safetensors"}}
    info = {
        "CheckpointLoaderSimple": {
            "input": {"required": {"ckpt_name": [["other.ckpt"]]}},
            "output_node": True,
        }
    }
    (said,) = problems({"1": loader}, info)
    assert "'mine.safetensors' is not on the server, which has: other.ckpt. Any name works" in said
    assert "models/checkpoints" in said and "Get it at: https://" in said
