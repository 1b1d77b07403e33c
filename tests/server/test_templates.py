"""Every shipped workflow as a user meets it: opened as a template on a clean server, saved, run
from the page, and looked at.

They run with few steps and small; as shipped they run when their thumbnails are made.
"""

import io
import json
import time
from itertools import islice
from pathlib import Path

import pytest
import visage
from PIL import Image, ImageSequence
from visage.workflows.builder.canvas import NEWER_INPUTS
from visage.workflows.builder.write import described

DESCRIBED = described()
WORKFLOWS = Path(visage.__file__).parent / "workflows"
SAMPLES = Path(visage.__file__).parent / "web" / "samples"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
# Those without files; the others run, smaller and but for one without a page, in test_checkpoints.
RUNNING = [name for name in NAMES if not DESCRIBED[name].needs]
# On a newer frontend only the page is another: there these run, and each class of node is opened.
SAMPLE = ("face_edit", "style_keep_identity", "paint_picture")
# This one is clicked in the template browser; the others are opened as it then opens them.
CLICKED = SAMPLE[0]


def with_every_class(names: list[str]) -> list[str]:
    """A few workflows that together with SAMPLE hold every class of node that any of them holds."""
    chosen, known = [], set().union(*map(classes_of, SAMPLE))
    while missing := set().union(*map(classes_of, names)) - known:
        chosen.append(max(names, key=lambda name: len(classes_of(name) & missing)))
        known |= classes_of(chosen[-1])
    return chosen


def classes_of(name: str) -> set[str]:
    content = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return {node["type"] for node in content["nodes"]}


RUN = (
    [("classic", name) for name in RUNNING]
    + [("newer classic", SAMPLE[0])]
    + [("newer Nodes 2.0", name) for name in SAMPLE]
)
ONLY_OPENED = (
    [("classic", name) for name in NAMES if ("classic", name) not in RUN]
    + [("newer classic", name) for name in SAMPLE if ("newer classic", name) not in RUN]
    + [
        ("newer Nodes 2.0", name)
        for name in with_every_class(NAMES)
        if ("newer Nodes 2.0", name) not in RUN
    ]
)
# ComfyUI's node that keeps the answer of a run as a widget's value.
SHOWS_ITS_ANSWER = "GetImageSize"
# Its layers stand at pixels of the shipped picture, outside of a smaller one.
PLACES_BY_PIXELS = "VisageComposeLayers"
PICTURES = ("SaveImage", "PreviewImage", "LossGraphNode")
# At 64 px nothing is found in add_object's crop, and its nodes say so below them.
SMALL = {
    ("ImageScale", "width"): 128,
    ("ImageScale", "height"): 128,
    ("VisageCropFaces", "size"): 64,
    ("VisageEditFaces", "size"): 64,
    ("VisageMosaicCompose", "size"): 64,
    ("VisageTrainStyleLora", "size"): 64,
    ("VisageTrainFaceEdit", "size"): 64,
    ("VisageTrainFaceEdit", "batch"): 1,
}
FEW_STEPS = {
    ("VisageEditFaces", "steps"): 2,
    ("VisageNeuralStyle", "steps"): 1,
    ("VisageNeuralStyle", "coarsest"): 1.0,
    ("KSampler", "steps"): 2,
    ("VisageStyleTransfer", "steps"): 2,
    ("VisageStyleTransfer", "inversion_steps"): 10,
    ("VisageInvert", "steps"): 2,
    ("VisageInvert", "inversion_steps"): 10,
    ("VisageTrainStyleLora", "steps"): 3,
    ("VisageTrainFaceEdit", "steps"): 3,
    ("VisageTrainFastStyle", "steps"): 3,
}
LONGEST = 192  # pixels of a picture that is loaded
TIMEOUT = 1200  # seconds; they take a tenth of it


@pytest.fixture(scope="module")
def server(comfyui_path):
    """A server that nothing has run on."""
    from visage.headless.server import comfy_server

    with comfy_server(comfyui_path) as running:
        yield running


def choose_template(canvas, name: str, template_card) -> None:
    """Open a template as a click in the template browser does."""
    canvas.evaluate(
        """async () => {
            app.graph.clear();
            await app.extensionManager.command.execute('Comfy.BrowseTemplates');
        }"""
    )
    dialog = canvas.get_by_role("dialog")
    card = template_card(canvas, name)
    card.click()
    canvas.wait_for_timeout(250)
    # Cards that are still moving into their places may take a click for another's, or for nobody's.
    if dialog.count() and not canvas.evaluate("app.graph.nodes.length"):
        canvas.wait_for_timeout(2000)
        if dialog.count():
            card.click()
    canvas.wait_for_function("app.graph.nodes.length > 0")
    dialog.wait_for(state="detached")


def load_template(canvas, name: str) -> None:
    """Open a template without the template browser."""
    canvas.evaluate(
        """async name => {
            const answer = await fetch(`/api/workflow_templates/visage/${name}.json`);
            await app.loadGraphData(await answer.json(), true, true, name);
        }""",
        name,
    )


def open_whole(canvas, name: str, template_card) -> dict:
    """Open a template and see that it is all there; returns what a save would keep."""
    if name == CLICKED:
        choose_template(canvas, name, template_card)
    else:
        load_template(canvas, name)
    missing = "app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).length"
    assert canvas.evaluate(missing) == 0
    shipped = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    values = {node["id"]: node.get("widgets_values", []) for node in shipped["nodes"]}
    opened = content(canvas)
    assert len(opened["nodes"]) == len(values)
    for node in opened["nodes"]:
        # Inputs that a node was given later follow, with their defaults.
        known = values[node["id"]]
        assert (node["widgets_values"] or [])[: len(known)] == known
    exported = canvas.evaluate("app.graphToPrompt().then(form => form.output)")
    twin = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert shared(exported) == shared(twin)
    return opened


def content(canvas) -> dict:
    """What a save keeps of nodes and links, but for what the eye alone sees."""
    saved = canvas.evaluate("app.graph.serialize()")
    kept = ("id", "type", "title", "mode", "pos", "widgets_values")
    for node in saved["nodes"]:
        if node["type"] == SHOWS_ITS_ANSWER:
            node.pop("widgets_values", None)
    return {
        "nodes": [{key: node.get(key) or None for key in kept} for node in saved["nodes"]],
        "links": saved["links"],
    }


def save_and_open(canvas) -> None:
    canvas.evaluate("app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))")


def shared(prompt: dict) -> dict:
    """The API form without what not all versions send: a widget that only shows what came in, and
    inputs that only newer nodes have.
    """
    for node in prompt.values():
        for name in ("preview", *NEWER_INPUTS.get(node["class_type"], ())):
            node["inputs"].pop(name, None)
    return prompt


def change(canvas, settings: dict) -> None:
    """Give the widgets of every node of a type another value."""
    for (kind, widget), value in settings.items():
        canvas.evaluate(
            """([kind, name, value]) => {
                for (const node of app.graph.nodes.filter(node => node.type === kind))
                    node.widgets.find(widget => widget.name === name).value = value;
            }""",
            [kind, widget, value],
        )


def load_smaller_pictures(canvas) -> None:
    """Put small copies of the samples on the page's server, and have them loaded."""
    loads = "app.graph.nodes.filter(n => n.type === 'LoadImage').map(n => n.widgets[0])"
    for name in set(canvas.evaluate(f"{loads}.map(widget => widget.value)")):
        buffer = small_copy(SAMPLES / name)
        small = {"name": f"small_{name}.webp", "mimeType": "image/webp", "buffer": buffer}
        address = canvas.evaluate("location.origin") + "/upload/image"
        answer = canvas.request.post(address, multipart={"image": small})
        canvas.evaluate(
            f"""([old, small]) => {{
                for (const widget of {loads}.filter(widget => widget.value === old))
                    widget.value = small;
            }}""",
            [name, answer.json()["name"]],
        )


def small_copy(path: Path) -> bytes:
    """A picture of at most LONGEST pixels a side, or the first two frames of a clip, as WebP."""
    with Image.open(path) as picture:
        frames = [frame.copy() for frame in islice(ImageSequence.Iterator(picture), 2)]
    for frame in frames:
        frame.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    frames[0].save(file, "WEBP", lossless=True, save_all=True, append_images=frames[1:])
    return file.getvalue()


def run(canvas) -> dict:
    """Press the keys for Run; returns what ComfyUI notes of it in its history."""
    history = "fetch('/history').then(answer => answer.json())"
    known = set(canvas.evaluate(history))
    canvas.keyboard.press("Control+Enter")
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        for key, entry in canvas.evaluate(history).items():
            if key not in known:
                return entry
        canvas.wait_for_timeout(200)
    raise TimeoutError("the run did not end")


def look_at(canvas, node: dict) -> None:
    """Wait until the node shows its picture."""
    canvas.evaluate(
        """id => {
            app.canvas.ds.scale = 1;
            app.canvas.centerOnNode(app.graph.getNodeById(id));
            app.canvas.setDirty(true, true);
        }""",
        node["id"],
    )
    canvas.wait_for_function(
        """id => {
            const drawn = document.querySelectorAll(`[data-node-id="${id}"] img`);
            const shown = [...drawn, ...(app.graph.getNodeById(id).imgs ?? [])];
            return shown.some(image => image.naturalWidth > 1);
        }""",
        arg=node["id"],
    )


@pytest.mark.parametrize(("canvas", "name"), ONLY_OPENED, indirect=["canvas"])
def test_opens_whole_and_is_saved_as_it_was(canvas, template_card, ours, name):
    opened = open_whole(canvas, name, template_card)
    save_and_open(canvas)
    assert content(canvas) == opened
    assert ours(canvas.complaints) == []


@pytest.mark.parametrize(("canvas", "name"), RUN, indirect=["canvas"])
def test_opens_whole_runs_and_shows_its_pictures(canvas, template_card, ours, name):
    open_whole(canvas, name, template_card)
    if PLACES_BY_PIXELS not in classes_of(name):
        load_smaller_pictures(canvas)
    change(canvas, SMALL | FEW_STEPS)
    before = content(canvas)
    entry = run(canvas)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    showing = [node for node in before["nodes"] if node["type"] in PICTURES]
    assert showing
    for node in showing:
        look_at(canvas, node)
    assert content(canvas) == before
    save_and_open(canvas)
    assert content(canvas) == before
    assert ours(canvas.complaints) == []
