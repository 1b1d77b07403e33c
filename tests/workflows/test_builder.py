"""Workflows are built from their descriptions: what is shipped is what the sources say."""

import json
import shutil
from pathlib import Path

import pytest
import visage
from visage.workflows.builder import canvas as canvas_module
from visage.workflows.builder.classes import known_classes, reduced
from visage.workflows.builder.graph import Workflow, reflowed
from visage.workflows.builder.layout import LIBRARY, Layout
from visage.workflows.builder.write import described

WORKFLOWS = Path(visage.__file__).parent / "workflows"
OLDEST = "0.3.64"
DESCRIBED = described()
LAID_OUT = ("pos", "size")


def shipped(name: str) -> tuple[dict, dict]:
    files = WORKFLOWS / f"{name}.json", WORKFLOWS / "api" / f"{name}.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in files)


def without_layout(canvas: dict) -> dict:
    """A canvas without what only its layout decides."""
    kept = {key: value for key, value in canvas.items() if key not in ("extra", "groups")}
    kept["columns"] = [group["title"] for group in canvas["groups"]]
    kept["nodes"] = [
        {key: value for key, value in node.items() if key not in LAID_OUT}
        for node in canvas["nodes"]
    ]
    return kept


def test_every_workflow_is_described():
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(DESCRIBED)


@pytest.mark.parametrize("name", DESCRIBED)
def test_nodes_values_and_links_are_those_of_the_description(name):
    flow = DESCRIBED[name]
    numbers = [1, *(node.id for node in flow.nodes)]
    nowhere = Layout(
        dict.fromkeys(numbers, (0, 0)),
        dict.fromkeys(numbers, (0, 0)),
        [(0, 0, 0, 0)] * len(flow.columns),
        {},
        {},
    )
    built = canvas_module.canvas_form(flow, nowhere)
    canvas, twin = shipped(name)
    assert without_layout(canvas) == without_layout(built), "run `visage workflows`"
    assert twin == canvas_module.api_twin(built), "run `visage workflows`"


@pytest.mark.parametrize("name", ["train_face_edit", "face_edit"])
@pytest.mark.slow
def test_building_again_gives_the_same_files(name):
    if shutil.which("node") is None or not LIBRARY.is_dir():
        pytest.skip("there is no elkjs (npm install)")
    assert tuple(canvas_module.build(DESCRIBED[name])) == shipped(name)


def test_the_classes_are_those_of_comfyui(comfyui_path):
    from visage.engines.comfyui.location import comfyui_version
    from visage.headless.server import comfy_server

    if comfyui_version(comfyui_path) != OLDEST:
        pytest.skip(f"workflows are built for ComfyUI {OLDEST}, the oldest that is supported")
    with comfy_server(comfyui_path) as server:
        object_info = server.get("/object_info")
    for kind, known in known_classes().items():
        known = {key: value for key, value in known.items() if key != "size"}
        assert reduced(object_info[kind]) == known, f"{kind}: run `visage workflows --measure`"


def flow() -> Workflow:
    return Workflow("example", "Prompt")


def test_a_node_stands_in_a_column():
    with pytest.raises(ValueError, match="no column"):
        flow().add("VisageLoadStarter", "Model")


def test_mistakes_are_named():
    example = flow()
    with example.column("1"):
        model = example.add("VisageLoadStarter", "Model")
        with pytest.raises(ValueError, match="does not know the class Nothing"):
            example.add("Nothing", "Nothing")
        with pytest.raises(ValueError, match='two nodes are titled "Model"'):
            example.add("VisageLoadStarter", "Model")
        with pytest.raises(ValueError, match="needs a link for clip"):
            example.add("CLIPTextEncode", "Prompt", text="")
        with pytest.raises(ValueError, match="needs a value for text"):
            example.add("CLIPTextEncode", "Prompt", clip=model["clip"])
        with pytest.raises(ValueError, match="has no input words; it has: text, clip"):
            example.add("CLIPTextEncode", "Prompt", words="", clip=model["clip"])
        with pytest.raises(ValueError, match='no output "mask"; it has: model, clip'):
            model["mask"]


def test_a_note_flows_again_but_for_its_points():
    assert reflowed("One\ntwo.\n\n· a\nb\n· c\n  code") == "One two.\n\n· a b\n· c\n  code"
