"""The diffusers engine behind a workflow's file."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import visage
from PIL import Image
from visage.batch.job import Job
from visage.batch.runner import add_file, numbers_in

from .conftest import node, shrinking

WORKFLOW = Path(visage.__file__).parent / "workflows" / "api" / "face_edit.json"
QUICK = ("Sampler.steps=2", "Sampler.seed=5")


@pytest.fixture(scope="module")
def runner():
    return Job.read(WORKFLOW, QUICK, engine="diffusers", previews=True).start()


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photograph") / "face.png"
    Image.fromarray(skimage.data.astronaut()[:300, 50:350]).save(path)
    return path


@pytest.fixture(scope="module")
def made(runner, photograph):
    return runner.run("face.png", photograph.read_bytes(), {})


def opened(data: bytes, tmp_path) -> np.ndarray:
    (tmp_path / "x.png").write_bytes(data)
    return np.asarray(Image.open(tmp_path / "x.png"))


def test_is_the_face_edit_of_the_library(made, photograph, tmp_path):
    import torch
    from visage.engines.diffusers.engine import DiffusersEngine
    from visage.models.face_edit import read_face_edit
    from visage.models.face_parser import load_face_parser
    from visage.models.starter_files import starter_file
    from visage.techniques.face_edit import FaceEditSettings, edit_faces
    from visage.techniques.text_adapter import FaceAwareTextAdapter

    weights = read_face_edit(starter_file("face_edit"))
    image = torch.from_numpy(np.asarray(Image.open(photograph)).astype(np.float32) / 255)[None]
    nodes = json.loads(WORKFLOW.read_text())
    prompt, mode = nodes["10"]["inputs"]["text"], nodes["18"]["inputs"]["mode"]
    expected = edit_faces(
        image,
        prompt,
        DiffusersEngine.load(face_edit=weights),
        load_face_parser(starter_file("face_parser")),
        FaceEditSettings(steps=2, seed=5, blend_mode=mode),
        FaceAwareTextAdapter.from_weights(weights.adapter),
    )
    result = opened(made.files["_Result.png"], tmp_path)
    assert (result == (expected.blended[0] * 255).clamp(0, 255).byte().numpy()).all()
    assert made.texts["Report"] == expected.proof.json()
    assert numbers_in(made.texts)["Report.outside_max_abs_diff"] == 0


def test_names_files_as_the_queue_does_and_puts_the_workflow_in(made, tmp_path):
    assert set(made.files) == {"_Mask_overlay.png", "_Raw_result.png", "_Result.png"}
    (tmp_path / "x.png").write_bytes(made.files["_Result.png"])
    prompt = json.loads(Image.open(tmp_path / "x.png").text["prompt"])
    assert prompt["14"]["inputs"]["steps"] == 2
    assert prompt["2"]["inputs"]["image"] == "face.png"


def test_names_are_clean_and_nodes_of_one_title_are_numbered(photograph):
    """As the queue's: without marks at the ends, and with a number before the suffix."""
    prompt = shrinking()
    prompt["3"]["_meta"]["title"] = "Result: (final)!"
    prompt["6"] = node("SaveImage", "(Result: final)", images=["1", 0])
    made = Job(prompt, engine="diffusers").start().run("face.png", photograph.read_bytes(), {})
    assert list(made.files) == ["_Result_final.png", "_Result_final-2.png"]


def test_a_number_goes_before_the_suffix_and_follows_the_last():
    files = {}
    for data in (b"1", b"2", b"3"):
        add_file(files, "_v1.5.png", data)
    assert files == {"_v1.5.png": b"1", "_v1.5-2.png": b"2", "_v1.5-3.png": b"3"}


def test_one_picture_has_settings_of_its_own(runner, made, photograph):
    data = photograph.read_bytes()
    other = runner.run("face.png", data, {"Sampler.seed": 6})
    assert other.files["_Result.png"] != made.files["_Result.png"]
    again = runner.run("face.png", data, {"Sampler.seed": 5})
    assert again.files["_Result.png"] == made.files["_Result.png"]
    with pytest.raises(ValueError, match='"Sampler" .* has no input "sed"'):
        runner.run("face.png", data, {"Sampler.sed": 6})


def test_refuses_what_only_comfyui_has(photograph):
    with pytest.raises(ValueError, match="diffusers engine samples with euler"):
        bad = Job.read(WORKFLOW, ("Sampler.sampler_name=dpmpp_2m",), engine="diffusers").start()
        bad.run("face.png", photograph.read_bytes(), {})
    with pytest.raises(ValueError, match=r"Prompt \(CLIPTextEncode\): weights in parentheses"):
        Job.read(WORKFLOW, ("Prompt.text=a (hat:1.2)",), engine="diffusers").start()
    with pytest.raises(ValueError, match="canvas form, which only ComfyUI can read"):
        Job.read(WORKFLOW.parent.parent / "face_edit.json", engine="diffusers")
    with pytest.raises(FileNotFoundError, match="There is no workflow at"):
        Job.read(WORKFLOW / "none.json")


def test_rejects_a_file_that_is_no_picture(runner):
    with pytest.raises(ValueError, match=r"Picture \(LoadImage\): x.png: not a readable picture"):
        runner.run("x.png", b"words", {})
