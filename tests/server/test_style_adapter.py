"""The workflow style_adapter on a real server, with the starter's own adapter and image encoder."""

import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import visage
from PIL import Image
from visage.headless.workflow import node_titled

PACKAGE = Path(visage.__file__).parent


@pytest.fixture(scope="module")
def workflow(server, tmp_path_factory) -> dict:
    """The shipped workflow on a small piece of the photograph, with fewer steps."""
    prompt = json.loads((PACKAGE / "workflows" / "api" / "style_adapter.json").read_text())
    file = tmp_path_factory.mktemp("pictures") / "face.png"
    Image.fromarray(face()).save(file)
    inputs_of(prompt, "Picture")["image"] = server.upload(file)
    painting = PACKAGE / "web" / "samples" / "visage_style_watercolour.png"
    inputs_of(prompt, "Style picture")["image"] = server.upload(painting)
    inputs_of(prompt, "Sampler")["steps"] = inputs_of(prompt, "Repaint")["steps"] = 3
    return prompt


def face() -> np.ndarray:
    return skimage.data.astronaut()[:256, 96:352]


def inputs_of(prompt: dict, title: str) -> dict:
    return node_titled(prompt, title)[1]["inputs"]


def picture(server, outputs: dict, prompt: dict, title: str) -> np.ndarray:
    data = server.download(outputs[node_titled(prompt, title)[0]]["images"][0])
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_face_changes_in_one_result_and_all_but_the_face_in_the_other(server, workflow):
    outputs = server.run(workflow)
    edited = (picture(server, outputs, workflow, "Result") != face()).any(-1)
    whole = (picture(server, outputs, workflow, "Whole picture") != face()).any(-1)
    assert 0.01 < edited.mean() < 0.6
    assert 0.3 < whole.mean() < 0.99
    assert not edited[:8].any()
    assert (edited & ~whole).any()


def test_bypassing_the_style_gives_what_a_weight_of_0_gives(server, workflow):
    def result(prompt):
        return picture(server, server.run(prompt), prompt, "Result")

    styled, without = copy.deepcopy(workflow), copy.deepcopy(workflow)
    inputs_of(styled, "Style")["weight"] = 0.0
    for title in ("Sampler", "Repaint"):
        inputs_of(without, title)["model"] = [node_titled(without, "Face edit")[0], 0]
    assert np.array_equal(result(styled), result(without))
    assert not np.array_equal(result(workflow), result(without))
