"""The pictures of a job on a worker's own ComfyUI, without one."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")
from visage.batch.comfyui_runner import put_pictures

from .conftest import node

INFO = {"LoadImage": {"input": {"required": {"image": [["here.png"], {"image_upload": True}]}}}}


def test_pictures_of_one_name_in_two_folders_stay_apart(tmp_path):
    names = {"1": "a/style.png", "2": "b/style.png", "3": "here.png"}
    prompt = {key: node("LoadImage", key, image=name) for key, name in names.items()}
    files = {"a/style.png": b"first", "b/style.png": b"second"}
    given = put_pictures(prompt, INFO, files, tmp_path)
    assert given == {("1", "image"), ("2", "image")}
    named = [prompt[key]["inputs"]["image"] for key in names]
    assert [(tmp_path / name).read_bytes() for name in named[:2]] == [b"first", b"second"]
    assert all(name.startswith("visage_given/") for name in named[:2])
    assert all(name.endswith("/style.png") for name in named[:2])
    assert named[2] == "here.png"
