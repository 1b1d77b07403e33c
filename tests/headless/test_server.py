"""Starting a private ComfyUI."""

import pytest

pytest.importorskip("aiohttp")
from visage.headless.server import comfy_server


def test_a_comfyui_that_fails_to_start_is_reported_with_its_last_words(tmp_path):
    (tmp_path / "main.py").write_text("raise SystemExit('no module named yaml')")
    with pytest.raises(ValueError, match="no module named yaml"):
        with comfy_server(tmp_path):
            pass


@pytest.mark.slow
def test_a_comfyui_that_never_answers_is_stopped(tmp_path):
    (tmp_path / "main.py").write_text("import time\ntime.sleep(60)")
    with pytest.raises(ValueError, match="not ready after 2 s"):
        with comfy_server(tmp_path, ready_within=2):
            pass
