"""A real server runs the workflows that edit one place, and the one node for the main job."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import visage
from PIL import Image
from visage.headless.workflow import node_titled

PACKAGE = Path(visage.__file__).parent
SIDE = 192


def small_workflow(server, folder: Path, name: str) -> dict:
    """A shipped workflow without a checkpoint, its pictures small, painted in one step."""
    path = PACKAGE / "workflows" / "api" / f"{name}.json"
    prompt = json.loads(path.read_text(encoding="utf-8"))
    for node in prompt.values():
        inputs = node["inputs"]
        if node["class_type"] == "LoadImage":
            small = folder / f"small_{Path(inputs['image']).stem}.png"
            picture = Image.open(PACKAGE / "web" / "samples" / inputs["image"])
            picture.convert("RGB").resize((SIDE, SIDE)).save(small)
            inputs["image"] = server.upload(small)
        if node["class_type"] == "VisageNeuralStyle":
            inputs.update(steps=1)
    return prompt


def picture(server, saved: dict) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(server.download(saved))).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    "name", ["change_garment", "change_background", "add_object", "remove_object"]
)
def test_one_place_changes_and_everything_else_stays_bit_for_bit(server, tmp_path, name):
    prompt = small_workflow(server, tmp_path, name)
    outputs = server.run(prompt)
    proof = json.loads(outputs[node_titled(prompt, "Report")[0]]["text"][0])
    assert proof["outside_max_abs_diff"] == 0
    assert 0.01 < proof["mask_share"] < 0.9
    result = picture(server, outputs[node_titled(prompt, "Result")[0]]["images"][0])
    sent = node_titled(prompt, "Picture")[1]["inputs"]["image"]
    original = picture(server, {"filename": sent, "type": "input"})
    changed = np.abs(result - original).max(axis=-1) > 0
    assert 0.5 < changed.mean() / proof["mask_share"] < 2


def test_edit_faces_equals_its_nodes_one_by_one_bit_for_bit(server):
    from visage.benchmarks.lesson import expansion_on

    assert expansion_on(server) == 0


def test_newer_cores_list_the_blueprint(server):
    from visage.headless.workflow import WorkflowError

    try:
        listed = server.get("/global_subgraphs")
    except WorkflowError:
        pytest.skip("this ComfyUI lists no blueprints")
    (entry,) = [key for key, one in listed.items() if one["name"] == "Edit Faces (Visage)"]
    assert "VisageEditFaces" in server.get(f"/global_subgraphs/{entry}")["data"]
