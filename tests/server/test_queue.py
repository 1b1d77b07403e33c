"""`visage queue` on a real ComfyUI server."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import visage
from PIL import Image
from visage.cli.main import main
from visage.headless.canvas import to_api_form

WORKFLOWS = Path(visage.__file__).parent / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
QUICK = ("--set", "Sampler.steps=2")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with two photographs."""
    (tmp_path / "in").mkdir()
    for name in ("first", "second"):
        photograph = skimage.data.astronaut()[:300, 50 : 350 + len(name)]
        Image.fromarray(photograph).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


@pytest.mark.parametrize("name", NAMES)
def test_canvas_form_becomes_the_twin(server, name):
    canvas = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    twin = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in twin.values():
        node["inputs"].pop("preview", None)  # only the frontend has this widget
    assert to_api_form(canvas, server.get("/object_info")) == twin


@pytest.mark.parametrize("form", ["face_edit.json", "api/face_edit.json"])
def test_edits_every_picture_of_a_folder(server, folder, tmp_path, form, capsys):
    out = tmp_path / "out"
    words = ["queue", str(WORKFLOWS / form), *QUICK, "--server", server.url, "--json"]
    assert main([*words, "--input", str(folder), "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["done"] == 2
    for item in report["items"]:
        proof = json.loads(item["texts"]["Report"][0])
        assert proof["outside_max_abs_diff"] == 0
        original = np.asarray(Image.open(folder / f"{item['item']}.png"))
        edited = np.asarray(Image.open(out / f"{item['item']}_Result.png"))
        assert edited.shape == original.shape
        assert (edited != original).any()


def test_names_a_model_that_the_server_lacks(server, tmp_path, capsys):
    words = ["queue", str(WORKFLOWS / "face_edit_sd15.json"), "--server", server.url]
    assert main([*words, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "Model (CheckpointLoaderSimple): ckpt_name 'sd-v1-5-inpainting.safetensors'" in said
    assert "is not on the server, which has: nothing" in said


def test_survives_a_kill_of_itself_and_of_the_server(comfyui_path, folder, tmp_path, capsys):
    from visage.headless.server import free_port, start_comfyui

    base, port = tmp_path / "comfyui", free_port()
    base.mkdir()
    for number in range(3):
        shutil.copy(folder / "first.png", folder / f"third {number}.png")
    words = ["queue", str(WORKFLOWS / "face_edit.json"), "--input", str(folder), "--json"]
    words += ["--server", f"http://127.0.0.1:{port}", "--out", str(tmp_path / "out")]
    words += ["--patience", "240", *QUICK]
    server = start_comfyui(comfyui_path, base, port)

    def results() -> list[Path]:
        return sorted((tmp_path / "out").glob("*.png"))

    def start_client() -> subprocess.Popen:
        command = [sys.executable, "-m", "visage.cli.main", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603

    def wait_for(condition) -> None:
        deadline = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < deadline, (base / "server.log").read_text()[-2000:]
            time.sleep(0.1)

    try:
        from visage.headless.client import ComfyServer, ServerLost

        def answers() -> bool:
            try:
                return bool(ComfyServer(f"http://127.0.0.1:{port}").get("/system_stats"))
            except ServerLost:
                return False

        wait_for(answers)
        client = start_client()
        wait_for(results)
        client.kill()
        client.wait()
        kept = {path: path.stat().st_mtime_ns for path in results()}
        client = start_client()
        wait_for(lambda: len(results()) > len(kept))
        server.kill()
        server.wait()
        server = start_comfyui(comfyui_path, base, port)
        said, _ = client.communicate(timeout=400)
        report = json.loads(said)
        assert client.returncode == 0
        assert (report["done"], report["failed"]) == (5, 0)
        assert report["skipped"] >= len(kept) - 1
        assert len(results()) == 5
        assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    finally:
        server.kill()
        server.wait()
