"""A real server trains: live, interrupted, taken up again, and is as good as new afterwards."""

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import visage
from visage.headless.workflow import WorkflowError, node_titled

TWIN = Path(visage.__file__).parent / "workflows" / "api" / "train_face_edit.json"


@pytest.fixture
def workflow() -> dict:
    """The shipped workflow with few and small steps."""
    prompt = json.loads(TWIN.read_text(encoding="utf-8"))
    node_titled(prompt, "Train")[1]["inputs"].update(steps=6, batch=2, size=64, save_every=50)
    return prompt


def named(prompt: dict, name: str) -> dict:
    node_titled(prompt, "Train")[1]["inputs"]["name"] = name
    return prompt


def test_shipped_workflow_trains_and_plots_and_its_file_is_listed(server, workflow):
    steps = []
    outputs = server.run(workflow, lambda title, step, total: steps.append((title, step, total)))
    assert ("Train", 6, 6) in steps
    assert outputs[node_titled(workflow, "Loss curve")[0]]["images"]
    shown = outputs[node_titled(workflow, "File")[0]]["text"][0]
    assert shown == "my_face_edit.safetensors"
    info = server.get("/object_info/VisageLoadFaceEdit")["VisageLoadFaceEdit"]
    assert shown in info["input"]["required"]["file"][1]["options"]


def test_interrupted_training_goes_on_where_it_stopped(server, workflow):
    prompt = named(workflow, "interrupted")
    train = node_titled(prompt, "Train")[1]["inputs"]
    train["steps"] = 500

    begun, resumed = [], []

    def interrupt(title, step, total):
        if total == 500:
            begun.append(step)
            request = Request(server.url + "/interrupt", data=b"{}", method="POST")  # noqa: S310
            urlopen(request).close()  # noqa: S310

    with pytest.raises(WorkflowError, match="interrupted"):
        server.run(prompt, interrupt)
    train["steps"] = total = begun[-1] + 3

    def note(title, step, steps):
        if steps == total:
            resumed.append(step)

    server.run(prompt, note)
    assert resumed[-1] == total and min(resumed) > begun[-1]


def test_unknown_name_is_refused(server, workflow):
    with pytest.raises(WorkflowError, match="plain file name"):
        server.run(named(workflow, "../elsewhere"))
