"""A real server runs the workflows that keep the person, through its own API."""

import io
import json
from pathlib import Path

import pytest
import visage
from PIL import Image
from visage.headless.workflow import node_titled

PACKAGE = Path(visage.__file__).parent


def inputs_of(prompt: dict, title: str) -> dict:
    return node_titled(prompt, title)[1]["inputs"]


@pytest.fixture
def workflow(shipped):
    """A shipped workflow with its pictures, at 64 px and with few steps."""

    def load(name: str) -> dict:
        prompt = shipped(name)
        for node in prompt.values():
            if node["class_type"] == "VisageStyleTransfer":
                node["inputs"].update(steps=2, inversion_steps=50)
        inputs_of(prompt, "Mosaic compose")["size"] = 64
        inputs_of(prompt, "Style size").update(width=64, height=64)
        return prompt

    return load


def picture(server, outputs: dict, prompt: dict, title: str) -> Image.Image:
    saved = outputs[node_titled(prompt, title)[0]]["images"][0]
    return Image.open(io.BytesIO(server.download(saved)))


@pytest.mark.parametrize("name", ["style_keep_identity", "style_then_identity"])
def test_restyles_a_group_and_measures_every_face(server, workflow, name):
    prompt, seen = workflow(name), set()
    outputs = server.run(prompt, lambda title, step, total: seen.add(title))
    with Image.open(PACKAGE / "web" / "samples" / "visage_group.png") as original:
        assert picture(server, outputs, prompt, "Result").size == original.size
    canvas = picture(server, outputs, prompt, "Mosaic").size
    assert picture(server, outputs, prompt, "Raw result").size == canvas
    assert canvas[1] > canvas[0] == 64
    faces = json.loads(outputs[node_titled(prompt, "Report")[0]]["text"][0])["faces"]
    assert len(faces) == 4
    assert any(face["gain"] and face["gain"] > 1.2 for face in faces)
    for face in faces:
        if face["outcome"] == "from its tile":
            assert face["tile"] >= face["before"]
    # The mosaic itself may come from ComfyUI's cache: both workflows make the same one.
    assert "Mosaic restore" in seen


def test_another_guard_strength_looks_for_no_face_again(server, workflow):
    prompt, seen = workflow("style_keep_identity"), set()
    server.run(prompt)
    inputs_of(prompt, "Identity guard")["strength"] = 0.9
    server.run(prompt, lambda title, step, total: seen.add(title))
    assert "Mosaic restore" in seen
    assert "Mosaic compose" not in seen
