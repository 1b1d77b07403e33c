"""`visage queue` on a real ComfyUI server."""

import json
import os
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
from visage.headless.workflow import declared_inputs, node_titled, title_of

WORKFLOWS = Path(visage.__file__).parent / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
QUICK = ("--set", "Sampler.steps=2", "--set", "Crop faces.size=64")


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
    object_info = server.get("/object_info")
    for node in twin.values():
        # A widget of the frontend alone, or an input that only newer versions of the node require.
        known = declared_inputs(node, object_info)
        node["inputs"] = {name: value for name, value in node["inputs"].items() if name in known}
    assert to_api_form(canvas, object_info) == twin


@pytest.mark.parametrize("name", NAMES)
def test_the_twins_name_every_input_that_the_server_requires(server, name):
    """`/prompt` runs the other branches of a workflow and answers as if all were well."""
    object_info = server.get("/object_info")
    twin = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    missing = [
        f"{title_of(twin, key)}.{name}"
        for key, node in twin.items()
        for name in object_info[node["class_type"]]["input"].get("required", {})
        if name not in node["inputs"]
    ]
    assert not missing


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
    assert "is not on the server, which has: nothing. Any name works" in said
    assert '--set "Model.ckpt_name=FILE"' in said
    assert "Get it at: https://" in said


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
        client.communicate()
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


def test_the_guides_example_in_python(server, folder, tmp_path, monkeypatch):
    guide = (WORKFLOWS.parent / "docs" / "headless.md").read_text(encoding="utf-8")
    code = guide.partition("```python\n")[2].partition("```")[0]
    assert "http://127.0.0.1:8188" in code
    prompt = json.loads((WORKFLOWS / "api" / "face_edit.json").read_text(encoding="utf-8"))
    next(node for node in prompt.values() if node["_meta"]["title"] == "Sampler")["inputs"][
        "steps"
    ] = 2
    (tmp_path / "workflows" / "api").mkdir(parents=True)
    (tmp_path / "workflows" / "api" / "face_edit.json").write_text(json.dumps(prompt))
    shutil.copy(folder / "first.png", tmp_path / "me.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("http://127.0.0.1:8188", server.url), "guide", "exec"), {})  # noqa: S102
    edited, original = (np.asarray(Image.open(name)) for name in ("edited.png", "me.png"))
    assert edited.shape == original.shape
    assert (edited != original).any()


@pytest.fixture(scope="session")
def comfy_cli() -> str:
    """The command of comfy-cli: beside this Python, on the path, or as COMFY_CLI names it."""
    beside = str(Path(sys.executable).parent)
    found = os.environ.get("COMFY_CLI") or shutil.which("comfy", path=beside)
    found = found or shutil.which("comfy")
    if found is None:
        pytest.skip("there is no comfy-cli (COMFY_CLI, or `comfy` on the path)")
    return found


def as_a_text(workflow: dict, picture: str) -> None:
    """The API form: several parts are one text."""
    node_titled(workflow, "Picture")[1]["inputs"]["image"] = picture
    node_titled(workflow, "Sampler")[1]["inputs"]["steps"] = 2
    node_titled(workflow, "Face mask")[1]["inputs"]["parts"] = "skin, hair"


def as_a_list(workflow: dict, picture: str) -> None:
    """The canvas form: several parts are a list."""
    values = {node.get("title"): node.get("widgets_values") for node in workflow["nodes"]}
    values["Picture"][0] = picture
    values["Sampler"][2] = 2
    assert values["Face mask"][0] == ["face"]
    values["Face mask"][0] = ["skin", "hair"]


@pytest.mark.parametrize(
    ("form", "parts"), [("api/face_edit.json", as_a_text), ("face_edit.json", as_a_list)]
)
def test_the_guides_command_of_comfy_cli(server, comfy_cli, folder, tmp_path, form, parts):
    guide = (WORKFLOWS.parent / "docs" / "headless.md").read_text(encoding="utf-8")
    line = next(line for line in guide.splitlines() if line.startswith("comfy run "))
    words = line.replace("8188", server.url.rpartition(":")[2]).split()
    assert f"workflows/{form}" in guide
    workflow = json.loads((WORKFLOWS / form).read_text(encoding="utf-8"))
    parts(workflow, server.upload(folder / "first.png"))
    quick = tmp_path / "quick.json"
    quick.write_text(json.dumps(workflow), encoding="utf-8")
    words[words.index("--workflow") + 1] = str(quick)
    done = subprocess.run(  # noqa: S603
        [comfy_cli, "--skip-prompt", *words[1:]],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "face_edit_0000" in done.stdout


def test_a_picture_without_a_face_is_named_and_counts_when_asked(server, tmp_path, capsys):
    Image.fromarray(np.full((96, 96, 3), 128, np.uint8)).save(tmp_path / "wall.png")
    words = ["queue", str(WORKFLOWS / "face_edit.json"), *QUICK, "--server", server.url]
    words += ["--input", str(tmp_path / "wall.png"), "--out", str(tmp_path / "out")]
    assert main([*words, "--strict"]) == 1
    said = capsys.readouterr().err
    assert "No face found in picture 1 of 1: its mask is empty." in said
    assert "no face found in 1: wall" in said
    result = np.asarray(Image.open(tmp_path / "out" / "wall_Result.png"))
    assert (result == 128).all()
    assert main(words) == 0
