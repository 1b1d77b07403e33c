"""`visage doctor`: right on a machine with nothing, and on one with files in the wrong place."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from visage.cli import doctor
from visage.cli.main import main


@pytest.fixture
def comfyui(tmp_path, monkeypatch):
    """A folder that looks like ComfyUI, with the usual model folders."""
    folder = tmp_path / "ComfyUI"
    for name in ("checkpoints", "loras", "clip_vision"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / f"put_{name}_here").touch()
    (folder / "custom_nodes").mkdir()
    (folder / "main.py").touch()
    (folder / "comfyui_version.py").write_text('__version__ = "0.3.64"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(folder))
    monkeypatch.setattr(doctor, "starter_file", lambda part: folder / part)
    return folder


def diagnose(capsys) -> dict:
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    return report


def files(report: dict, kind: str) -> list[str]:
    shelf = next(shelf for shelf in report["models"] if shelf["kind"] == kind)
    return [path.rsplit("/", 1)[-1] for path in shelf["files"]]


def weights(path, name: str = "weight", metadata=None, others=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({each: torch.zeros(2) for each in (name, *others)}, path, metadata)
    return path


def test_a_machine_with_nothing(tmp_path):
    """No torch, no ComfyUI, no diffusers: the doctor still speaks, and says how to get them."""
    code = (
        "import importlib.metadata as m, sys\n"
        "sys.modules['torch'] = None\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name in ('visage', 'numpy'): return real(name)\n"
        "    raise m.PackageNotFoundError(name)\n"
        "m.version = version\n"
        "from visage.cli import doctor\n"
        "doctor.find_comfyui = lambda: None\n"
        "from visage.cli.main import main\n"
        "sys.exit(main(['doctor', '--json']))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    said = "\n".join(report["problems"])
    assert "torch is missing" in said
    assert "pip install safetensors" in said
    assert "neither ComfyUI nor diffusers" in said
    assert report["device"]["kind"] == "none"
    assert report["comfyui"]["path"] is None


def test_a_sound_machine(comfyui, capsys):
    report = diagnose(capsys)
    assert report["problems"] == []
    assert report["comfyui"]["version"] == "0.3.64"
    assert report["packages"]["torch"]
    assert report["starter"]["missing"] == []
    adding = report["additions"]
    assert any("visage_face_parsers" in line and "github.com" in line for line in adding)
    assert any("checkpoints" in line and "under any name" in line for line in adding)
    assert "on ComfyUI's canvas" not in " ".join(report["works"])  # it does not have the pack
    (comfyui / "custom_nodes" / "visage").symlink_to(doctor.PACKAGE)
    assert "on ComfyUI's canvas" in diagnose(capsys)["works"][0]


def test_files_in_their_places(comfyui, capsys):
    models = comfyui / "models"
    weights(models / "visage_face_edits" / "mine.safetensors", "visage_text_adapter.w1.weight")
    weights(models / "checkpoints" / "any.safetensors", "model.diffusion_model.x")
    (models / "visage_face_parsers").mkdir()
    (models / "visage_face_parsers" / "79999_iter.pth").write_bytes(b"a pickle")
    report = diagnose(capsys)
    assert report["problems"] == []
    assert files(report, "face_edit") == ["mine.safetensors"]
    assert files(report, "checkpoint") == ["any.safetensors"]
    assert files(report, "face_parser") == ["79999_iter.pth"]


@pytest.mark.parametrize("where", ["", "models/swappers/"])
def test_a_face_swapper_lies_in_the_folder_that_it_shares_with_insightface(comfyui, capsys, where):
    folder = comfyui / "models" / "insightface" / where
    folder.mkdir(parents=True)
    (folder / "inswapper_128.onnx").write_bytes(b"onnx")
    report = diagnose(capsys)
    assert report["problems"] == []
    assert files(report, "inswapper") == ["inswapper_128.onnx"]
    assert files(report, "insightface") == []


@pytest.mark.parametrize(
    ("folder", "kind"), [("visage_clip", "clip"), ("clip_vision", "clip_vision")]
)
def test_a_whole_clip_is_at_home_where_words_and_where_pictures_are_encoded(
    comfyui, capsys, folder, kind
):
    path = comfyui / "models" / folder / "model.safetensors"
    weights(path, "text_projection.weight", others=("vision_model.x", "text_model.x"))
    report = diagnose(capsys)
    assert report["problems"] == []
    assert files(report, kind) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("where", "tensor", "right"),
    [
        ("checkpoints/79999_iter.pth", None, "visage_face_parsers"),
        ("loras/edit.safetensors", "visage_text_adapter.w1.weight", "visage_face_edits"),
        ("face_parsing/net.safetensors", "cp.resnet.conv1.weight", "visage_face_parsers"),
        ("clipseg/model.safetensors", "clip.text_model.x", "visage_clipseg"),
        ("visage_clip/encoder.safetensors", "vision_model.x", "clip_vision"),
        ("loras/model.safetensors", "text_projection.weight", "visage_clip"),
        ("visage_face_edits/sd.safetensors", "model.diffusion_model.x", "checkpoints"),
        ("visage_face_parsers/style.safetensors", "lora_unet_x.lora_up.weight", "loras"),
    ],
)
def test_a_file_in_the_wrong_folder(comfyui, capsys, where, tensor, right):
    path = comfyui / "models" / where
    if tensor:
        weights(path, tensor)
    else:
        path.write_bytes(b"a pickle")
    problems = diagnose(capsys)["problems"]
    assert len(problems) == 1
    assert str(path) in problems[0]
    assert f"Move it to {comfyui / 'models' / right}." in problems[0]


def test_a_file_of_another_name_is_known_by_its_metadata(comfyui, capsys):
    path = comfyui / "models" / "loras" / "x.safetensors"
    weights(path, "lora_unet_x.diff", {"visage.kind": "face_edit"})
    assert "visage_face_edits" in diagnose(capsys)["problems"][0]


def test_other_peoples_files_are_none_of_our_business(comfyui, capsys):
    weights(comfyui / "models" / "diffusion_models" / "flux.safetensors", "model.diffusion_model.x")
    (comfyui / "models" / "loras" / "old.pt").write_bytes(b"a pickle")
    assert diagnose(capsys)["problems"] == []


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}      and so on", "get the file again"),
    ],
)
def test_a_damaged_file(comfyui, capsys, content, advice):
    path = comfyui / "models" / "visage_face_edits" / "broken.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    problems = diagnose(capsys)["problems"]
    assert len(problems) == 1 and str(path) in problems[0] and advice in problems[0]


def test_an_extension_that_the_node_does_not_list(comfyui, capsys):
    path = comfyui / "models" / "visage_face_parsers" / "parser.onnx"
    path.parent.mkdir()
    path.write_bytes(b"onnx")
    assert ".pth" in diagnose(capsys)["problems"][0]


def test_folders_from_extra_model_paths(comfyui, tmp_path, capsys):
    pytest.importorskip("yaml")
    (comfyui / "extra_model_paths.yaml").write_text(
        f"mine:\n  base_path: {tmp_path}/shared\n  is_default: true\n"
        "  checkpoints: sd\n  visage_face_parsers: |\n    one\n    two\n"
    )
    (tmp_path / "shared" / "two").mkdir(parents=True)
    (tmp_path / "shared" / "two" / "resnet18.pt").write_bytes(b"a pickle")
    report = diagnose(capsys)
    assert report["problems"] == []
    assert files(report, "face_parser") == ["resnet18.pt"]


def test_extra_model_paths_that_is_no_yaml(comfyui, capsys):
    pytest.importorskip("yaml")
    (comfyui / "extra_model_paths.yaml").write_text("mine: [\n")
    assert "extra_model_paths.yaml" in diagnose(capsys)["problems"][0]


def test_an_old_comfyui(comfyui, capsys):
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.3.9"\n')
    assert "0.3.64 or newer" in diagnose(capsys)["problems"][0]


def test_a_comfyui_path_without_comfyui(comfyui, capsys):
    shutil.rmtree(comfyui)
    assert "COMFYUI_PATH" in diagnose(capsys)["problems"][0]


def test_missing_starter_weights(comfyui, capsys, monkeypatch):
    def gone(part):
        raise FileNotFoundError(f"The starter's {part} is missing: get it again.")

    monkeypatch.setattr(doctor, "starter_file", gone)
    report = diagnose(capsys)
    assert "unet" in report["starter"]["missing"]
    assert any("starter's unet is missing" in problem for problem in report["problems"])


def test_in_words(comfyui, capsys):
    (comfyui / "models" / "loras" / "79999_iter.pth").write_bytes(b"a pickle")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "ComfyUI   0.3.64" in said
    assert "Wrong     " in said and "visage_face_parsers" in said
    assert said.splitlines()[-1] == "1 to put right."


def test_in_words_it_says_what_works_and_what_a_file_more_would_add(comfyui, capsys):
    weights(comfyui / "models" / "checkpoints" / "any.safetensors", "model.diffusion_model.x")
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Models    checkpoint: any.safetensors" in lines
    assert any(line.startswith("Works     without ComfyUI: `visage demo`") for line in lines)
    assert "Works     with your files: real photographs at 512 px" in "\n".join(lines)
    assert any(line.startswith("Adds      masks from any words: CLIPSeg") for line in lines)
    assert not any("none" in line for line in lines)
    assert lines[-1] == "Nothing is wrong. 14 kinds of files would add to it."
