"""A job from a workflow's file."""

from __future__ import annotations

import json

import pytest
from visage.batch.job import Job
from visage.batch.runner import make_runner

from .conftest import node

INFO = {
    "Load": {
        "input": {
            "required": {
                "image": [["a.png"], {"image_upload": True}],
                "bypass": ["BOOLEAN", {"default": False}],
            }
        }
    }
}


@pytest.fixture
def write(tmp_path):
    def write(contents: object):
        path = tmp_path / "work.json"
        path.write_text(json.dumps(contents))
        return path

    return write


def test_what_a_newer_node_requires_has_its_declared_default(write):
    """An API file made for an older version of a node, which `visage queue` runs, too."""
    job = Job.read(write({"1": node("Load", "Picture", image="a.png")}))
    assert job.prompt(INFO)["1"]["inputs"] == {"image": "a.png", "bypass": False}
    assert job.prompt(INFO) == job.prompt(INFO)
    assert "bypass" not in job.workflow["1"]["inputs"]


def test_settings_are_applied_to_a_copy(write):
    path = write({"1": node("Load", "Picture", image="a.png")})
    job = Job.read(path, ("Picture.image=b.png",))
    assert job.prompt(INFO)["1"]["inputs"]["image"] == "b.png"
    assert job.workflow["1"]["inputs"]["image"] == "a.png"


def test_a_file_that_was_probably_meant_is_named(write):
    path = write({"1": node("Load", "Picture")})
    with pytest.raises(FileNotFoundError, match=rf"Did you mean {path}\?"):
        Job.read(path.with_name("wrok.json"))


def test_a_file_that_is_no_workflow_is_refused(write):
    for contents in ({}, [], {"1": {"inputs": {}}}):
        with pytest.raises(ValueError, match="is no ComfyUI workflow"):
            Job.read(write(contents))


def test_pictures_that_the_workflow_or_a_setting_names_come_with_it(write, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    (tmp_path / "dog.png").write_bytes(b"a dog")
    (tmp_path / "notes.txt").write_bytes(b"no picture")
    path = write({"1": node("Load", "Picture", image="cat.png", text="notes.txt")})
    job = Job.read(path, ("Picture.image=dog.png",))
    assert job.files == {"cat.png": b"a cat", "dog.png": b"a dog"}


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="there is no engine 'comfy'; there are comfyui, diff"):
        make_runner(Job({}, engine="comfy"))
