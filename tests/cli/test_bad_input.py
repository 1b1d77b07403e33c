"""What users get wrong is one line and exit code 2 on every command, with nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest
import visage
from visage.cli.main import main


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    return path


def complaint(capsys, *words) -> str:
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("visage: ")
    return said


def test_a_style_picture_that_is_no_picture(file, capsys, tmp_path):
    out = tmp_path / "style.safetensors"
    said = complaint(capsys, "train", "style-lora", file, "--steps", 1, "--out", out)
    assert "notes.txt: not a readable picture" in said
    assert not out.exists()


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_file_where_the_results_should_go(file, capsys, below):
    said = complaint(capsys, "demo", "--engine", "diffusers", "--output", file / below)
    assert "notes.txt" in said and "is a file where a folder is needed" in said
    assert file.read_text() == "keep me"


def test_a_file_where_drawn_pictures_should_go(file, capsys):
    said = complaint(capsys, "data", "render", "--out", file, "--count", 1)
    assert "notes.txt" in said and "a folder is needed" in said


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_file_where_the_queue_should_write_is_named_before_a_server_is_asked(file, capsys, below):
    workflow = Path(visage.__file__).parent / "workflows" / "face_edit.json"
    nobody = "http://127.0.0.1:9"
    said = complaint(capsys, "queue", workflow, "--out", file / below, "--server", nobody)
    assert "notes.txt" in said and "a folder is needed" in said


def without_torch(tmp_path, *words: str) -> subprocess.CompletedProcess:
    """The command on a Python that has nothing but the standard library and Visage."""
    code = (
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'numpy', 'PIL', 'cv2', 'diffusers'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from visage.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize(
    "command",
    ["demo", "train", "train face-edit", "train style-adapter", "train style-lora", "evaluate",
     "queue", "batch", "bench", "data", "tradeoff", "doctor"],
)  # fmt: skip
def test_help_needs_no_package(tmp_path, command):
    done = without_torch(tmp_path, *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: visage" in done.stdout


def test_a_missing_package_is_named_with_the_way_to_get_it(tmp_path):
    done = without_torch(tmp_path, "demo", "--engine", "diffusers")
    assert done.returncode == 2
    assert "needs the Python package" in done.stderr and "-m pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_comfyui_without_its_requirements(tmp_path, capsys, monkeypatch):
    comfyui = tmp_path / "ComfyUI"
    comfyui.mkdir()
    (comfyui / "main.py").write_text("import a_package_that_is_not_there\n")
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.3.64"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    said = complaint(capsys, "demo", "--engine", "comfyui", "--output", tmp_path / "out")
    assert "ComfyUI needs the Python package a_package_that_is_not_there" in said
    assert "install ComfyUI's requirements.txt" in said
