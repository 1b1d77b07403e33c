"""A real ComfyUI server with the pack runs the shipped workflow, through its own API."""

import copy
import io
import json
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import skimage.data
import visage
from PIL import Image
from visage.headless.workflow import WorkflowError, node_titled

PACKAGE = Path(visage.__file__).parent
SNAPSHOT = Path(__file__).parents[1] / "nodes" / "schema_snapshot.json"
NODES = set(json.loads(SNAPSHOT.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def upload(server, tmp_path_factory):
    """Puts a picture into the server's input folder; returns its name there."""

    def put(image: np.ndarray) -> str:
        file = tmp_path_factory.mktemp("pictures") / "picture.png"
        Image.fromarray(image).save(file)
        return server.upload(file)

    return put


@pytest.fixture(scope="module")
def astronaut(upload):
    return upload(skimage.data.astronaut())


@pytest.fixture
def workflow(astronaut) -> dict:
    """The shipped workflow on the photograph, with fewer steps."""
    path = PACKAGE / "workflows" / "api" / "face_edit.json"
    prompt = json.loads(path.read_text(encoding="utf-8"))
    inputs_of(prompt, "Picture")["image"] = astronaut
    inputs_of(prompt, "Sampler")["steps"] = 3
    inputs_of(prompt, "Crop faces")["size"] = 64
    return prompt


def inputs_of(prompt: dict, title: str) -> dict:
    return node_titled(prompt, title)[1]["inputs"]


def add(prompt: dict, class_type: str, **inputs) -> list:
    """Add a node; returns its first output as a link."""
    key = f"added {len(prompt)}"
    prompt[key] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": key}}
    return [key, 0]


def saved(server, outputs: dict, node_id: str) -> np.ndarray:
    data = server.download(outputs[node_id]["images"][0])
    return np.asarray(Image.open(io.BytesIO(data)))


def result(server, prompt: dict) -> np.ndarray:
    """The saved picture of the workflow."""
    return saved(server, server.run(prompt), node_titled(prompt, "Result")[0])


def proof(server, prompt: dict) -> dict:
    outputs = server.run(prompt)
    return json.loads(outputs[node_titled(prompt, "Report")[0]]["text"][0])


class TestNodes:
    def test_every_node_is_there(self, server):
        assert {name for name in server.get("/object_info") if name.startswith("Visage")} == NODES

    @pytest.mark.parametrize("node", sorted(NODES))
    def test_help_page_names_every_input_and_output(self, server, node):
        with urlopen(f"{server.url}/extensions/visage/docs/{node}.md") as page:  # noqa: S310
            text = page.read().decode()
        info = server.get(f"/object_info/{node}")[node]
        shown = [names for kind, names in info["input_order"].items() if kind != "hidden"]
        names = [name for group in shown for name in group]
        for name in [*names, *info["output_name"]]:
            assert f"| {name} |" in text, f"{name} is missing in the help page of {node}"

    def test_template_browser_lists_the_workflows_with_thumbnails(self, server):
        assert {"face_edit", "face_edit_sd15"} <= set(server.get("/workflow_templates")["visage"])
        with urlopen(f"{server.url}/api/workflow_templates/visage/face_edit.jpg") as thumbnail:  # noqa: S310
            assert Image.open(thumbnail).format == "JPEG"


class TestFaceEdit:
    def test_saved_picture_is_the_input_outside_the_mask(self, server, workflow):
        soft_mask = [node_titled(workflow, "Soft mask")[0], 0]
        support = add(workflow, "ThresholdMask", mask=soft_mask, value=0.0)
        image = add(workflow, "MaskToImage", mask=support)
        shown, _ = add(workflow, "PreviewImage", images=image)
        outputs = server.run(workflow)
        edited = saved(server, outputs, node_titled(workflow, "Result")[0])
        inside = saved(server, outputs, shown)[..., 0] > 0
        original = skimage.data.astronaut()
        assert 0.01 < inside.mean() < 0.3
        assert np.array_equal(edited[~inside], original[~inside])
        assert (edited[inside] != original[inside]).any(axis=-1).mean() > 0.5

    def test_report_says_that_nothing_else_changed(self, server, workflow):
        report = proof(server, workflow)
        assert report["outside_max_abs_diff"] == 0
        assert 0.01 < report["mask_share"] < 0.3

    def test_same_seed_gives_the_same_picture(self, server, workflow):
        again = copy.deepcopy(workflow)
        # Another prefix makes ComfyUI save again, another step count and back makes it run again.
        inputs_of(again, "Result")["filename_prefix"] = "again"
        first = result(server, workflow)
        inputs_of(workflow, "Sampler")["steps"] = 2
        result(server, workflow)
        assert np.array_equal(first, result(server, again))

    def test_size_that_no_latent_has(self, server, workflow, upload):
        original = skimage.data.astronaut()[:301, 60:390]
        inputs_of(workflow, "Picture")["image"] = upload(original)
        edited = result(server, workflow)
        assert edited.shape == original.shape
        assert np.array_equal(edited[:20], original[:20])

    def test_grey_picture(self, server, workflow, upload):
        grey = skimage.data.astronaut().mean(axis=-1).astype(np.uint8)
        inputs_of(workflow, "Picture")["image"] = upload(grey)
        assert proof(server, workflow)["outside_max_abs_diff"] == 0

    def test_alpha_channel_is_kept(self, server, workflow):
        picture, _ = node_titled(workflow, "Picture")
        alpha = add(workflow, "SolidMask", value=0.25, width=512, height=512)
        rgba = add(workflow, "JoinImageWithAlpha", image=[picture, 0], alpha=alpha)
        inputs_of(workflow, "Pixel blend")["original"] = rgba
        edited = result(server, workflow)
        assert edited.shape == (512, 512, 4)
        assert set(np.unique(edited[..., 3])) == {191}  # JoinImageWithAlpha saves 1 - mask

    def test_picture_without_a_face_comes_back_as_it_was(self, server, workflow, upload):
        original = np.full((96, 128, 3), (90, 140, 200), np.uint8)
        inputs_of(workflow, "Picture")["image"] = upload(original)
        assert np.array_equal(result(server, workflow), original)

    def test_empty_mask_changes_nothing(self, server, workflow):
        empty = add(workflow, "SolidMask", value=0.0, width=512, height=512)
        inputs_of(workflow, "Soft mask")["mask"] = empty
        assert np.array_equal(result(server, workflow), skimage.data.astronaut())

    def test_full_mask_edits_all(self, server, workflow):
        full = add(workflow, "SolidMask", value=1.0, width=512, height=512)
        inputs_of(workflow, "Soft mask")["mask"] = full
        assert proof(server, workflow)["mask_share"] == pytest.approx(1)


class TestBadInput:
    """Errors say what is wrong with which node, in our words."""

    def test_mask_of_another_size(self, server, workflow):
        whole = add(workflow, "SolidMask", value=1.0, width=100, height=64)
        half = add(workflow, "SolidMask", value=0.0, width=50, height=64)
        other = add(
            workflow,
            "MaskComposite",
            destination=whole,
            source=half,
            x=0,
            y=0,
            operation="multiply",
        )
        inputs_of(workflow, "Pixel blend")["mask"] = other
        with pytest.raises(WorkflowError, match=r"Pixel blend .*100.*512|Pixel blend .*512.*100"):
            server.run(workflow)

    def test_batch_of_another_length(self, server, workflow):
        batch = add(workflow, "EmptyImage", width=512, height=512, batch_size=3, color=0)
        two = add(workflow, "EmptyImage", width=512, height=512, batch_size=2, color=0)
        inputs_of(workflow, "Pixel blend").update(edited=batch, original=two)
        with pytest.raises(WorkflowError, match=r"Pixel blend .*3.*2|Pixel blend .*2.*3"):
            server.run(workflow)

    def test_crops_of_another_run(self, server, workflow):
        crops = add(workflow, "EmptyImage", width=128, height=128, batch_size=7, color=0)
        inputs_of(workflow, "Paste faces")["images"] = crops
        with pytest.raises(WorkflowError, match="Paste faces .*7"):
            server.run(workflow)

    def test_no_face_where_one_is_demanded(self, server, workflow, upload):
        inputs_of(workflow, "Picture")["image"] = upload(np.zeros((64, 64, 3), np.uint8))
        inputs_of(workflow, "Face mask")["no_face"] = "error"
        with pytest.raises(WorkflowError, match="Face mask .*face"):
            server.run(workflow)

    def test_weights_file_that_is_not_there(self, server, workflow):
        inputs_of(workflow, "Face parser")["file"] = "gone.pth"
        with pytest.raises(WorkflowError, match="Face parser .*gone.pth"):
            server.run(workflow)
