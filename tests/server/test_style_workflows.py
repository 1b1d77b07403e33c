"""A real server runs the style workflows, through its own API."""

import json

import pytest
from visage.headless.workflow import WorkflowError, node_titled

NAMES = ("style_whole", "style_region", "style_many")


@pytest.fixture
def workflow(shipped):
    """A shipped workflow with its pictures, at 64 px and with few steps."""

    def load(name: str) -> dict:
        prompt = shipped(name)
        for node in prompt.values():
            if node["class_type"] == "VisageTrainStyleLora":
                node["inputs"].update(steps=2, size=64, rank=4)
        node_titled(prompt, "Model size")[1]["inputs"].update(width=64, height=64)
        node_titled(prompt, "Invert")[1]["inputs"].update(steps=2, inversion_steps=50)
        return prompt

    return load


def report(outputs: dict, prompt: dict, title: str) -> str:
    return outputs[node_titled(prompt, title)[0]]["text"][0]


@pytest.mark.parametrize("name", NAMES)
def test_paints_and_says_what_it_changed(server, workflow, name):
    prompt, seen = workflow(name), set()
    outputs = server.run(prompt, lambda title, step, total: seen.add(title))
    assert outputs[node_titled(prompt, "Result")[0]]["images"]
    assert "dB" in report(outputs, prompt, "Inversion report")
    proof = json.loads(report(outputs, prompt, "Report"))
    assert proof["outside_max_abs_diff"] == 0
    assert "DiffStyler" in seen


def test_another_style_does_not_invert_or_train_again(server, workflow):
    prompt, seen = workflow("style_whole"), set()
    server.run(prompt)
    node_titled(prompt, "Style LoRA")[1]["inputs"]["strength_model"] = 0.5
    server.run(prompt, lambda title, step, total: seen.add(title))
    assert "DiffStyler" in seen
    assert not {"Invert", "Train style LoRA"} & seen


def test_words_that_need_clipseg_say_so(server, workflow):
    prompt = workflow("style_region")
    node_titled(prompt, "Region in words")[1]["inputs"]["text"] = "the ship"
    with pytest.raises(WorkflowError, match="Region in words .*clipseg"):
        server.run(prompt)
