"""Starting ComfyUI and addressing the nodes of a workflow."""

import pytest
from visage.cli import comfy_server

PROMPT = {
    "1": {"class_type": "LoadImage", "inputs": {}, "_meta": {"title": "Picture"}},
    "2": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Result"}},
    "3": {"class_type": "SaveImage", "inputs": {}},
}


def test_nodes_are_addressed_by_title():
    assert comfy_server.node_titled(PROMPT, "Result") == ("2", PROMPT["2"])


def test_a_node_without_title_goes_by_its_class():
    assert comfy_server.title_of(PROMPT, "3") == "SaveImage"


def test_an_unknown_title_is_refused_with_the_titles_there_are():
    with pytest.raises(ValueError, match="Picture, Result, SaveImage"):
        comfy_server.node_titled(PROMPT, "Prompt")


def test_a_comfyui_that_fails_to_start_is_reported_with_its_last_words(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "main.py").write_text("raise SystemExit('no module named yaml')")
    with pytest.raises(ValueError, match="no module named yaml"):
        with comfy_server.comfy_server(tmp_path):
            pass


def test_a_comfyui_that_never_answers_is_stopped(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "main.py").write_text("import time\nprint('busy', flush=True)\ntime.sleep(60)")
    with pytest.raises(ValueError, match="not ready after 2 s:\nbusy"):
        with comfy_server.comfy_server(tmp_path, ready_within=2):
            pass
