"""A real server runs the painting workflows, through its own API."""

import io
import json
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import visage
from PIL import Image
from visage.headless.workflow import node_titled

PACKAGE = Path(visage.__file__).parent
SIDE = 96


@pytest.fixture
def workflow(server, tmp_path):
    """A shipped workflow with its pictures, small and with one step."""

    def load(name: str) -> dict:
        path = PACKAGE / "workflows" / "api" / f"{name}.json"
        prompt = json.loads(path.read_text(encoding="utf-8"))
        for node in prompt.values():
            inputs = node["inputs"]
            if node["class_type"] == "LoadImage":
                small = tmp_path / f"small_{Path(inputs['image']).stem}.png"
                picture = Image.open(PACKAGE / "web" / "samples" / inputs["image"])
                picture.convert("RGB").resize((SIDE, SIDE)).save(small)
                inputs["image"] = server.upload(small)
            if node["class_type"] == "VisageNeuralStyle":
                inputs.update(steps=1, coarsest=0.6)
            if node["class_type"] == "VisageTrainFastStyle":
                inputs.update(steps=2, size=64)
        return prompt

    return load


def picture(server, outputs: dict, prompt: dict, title: str) -> np.ndarray:
    saved = outputs[node_titled(prompt, title)[0]]["images"][0]
    return np.array(Image.open(io.BytesIO(server.download(saved))).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("name", "result"),
    [("paint_picture", "Result"), ("paint_fast", "Result"), ("paint_clip", "Frames")],
)
def test_paints(server, workflow, name, result):
    prompt = workflow(name)
    painted = picture(server, server.run(prompt), prompt, result)
    assert painted.shape == (SIDE, SIDE, 3)
    assert painted.std() > 10


def test_a_style_is_learned_plotted_and_used_at_once(server, workflow):
    prompt = workflow("train_fast_style")
    steps = []
    outputs = server.run(prompt, lambda title, step, total: steps.append((title, step, total)))
    assert ("Train", 2, 2) in steps
    assert picture(server, outputs, prompt, "Result").shape == (SIDE, SIDE, 3)
    assert outputs[node_titled(prompt, "Loss curve")[0]]["images"]
    (file,) = outputs[node_titled(prompt, "File")[0]]["text"]
    info = server.get("/object_info/VisageLoadFastStyle")["VisageLoadFastStyle"]
    assert file in info["input"]["required"]["file"][1]["options"]


def test_an_interrupted_training_is_kept_and_used(server, workflow):
    prompt = workflow("train_fast_style")
    node_titled(prompt, "Train")[1]["inputs"].update(steps=5000, name="interrupted")
    asked = []

    def interrupt(title, step, total):
        if total == 5000 and not asked:
            asked.append(step)
            request = Request(server.url + "/interrupt", data=b"{}", method="POST")  # noqa: S310
            urlopen(request).close()  # noqa: S310

    outputs = server.run(prompt, interrupt)
    assert asked
    assert picture(server, outputs, prompt, "Result").shape == (SIDE, SIDE, 3)
    assert outputs[node_titled(prompt, "File")[0]]["text"] == ["interrupted.safetensors"]


def test_the_person_stays_bit_for_bit(server, workflow):
    prompt = workflow("paint_background")
    outputs = server.run(prompt)
    proof = json.loads(outputs[node_titled(prompt, "Report")[0]]["text"][0])
    assert proof["outside_max_abs_diff"] == 0
    assert proof["outside_pixels"] > 0
    assert 0.2 < proof["mask_share"] < 0.99
