"""What an installed copy and the ComfyUI registry get."""

from pathlib import Path

import pytest
import visage

ROOT = Path(visage.__file__).parent


@pytest.fixture
def project() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_packaged(project):
    listed = set(project["tool"]["setuptools"]["packages"])
    folders = {file.parent.relative_to(ROOT) for file in ROOT.glob("*/**/__init__.py")}
    ours = {folder for folder in folders if not folder.parts[0].startswith((".", "build"))}
    assert listed == {"visage", *(".".join(("visage", *folder.parts)) for folder in ours)}


def test_nothing_that_the_nodes_need_replaces_torch(project):
    needed = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    names = [line for line in needed.splitlines() if line and not line.startswith("#")]
    assert not any(name.startswith(("torch", "diffusers", "transformers")) for name in names)
    assert all("==" not in name and "<" not in name for name in names)
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["requirements.txt"]


def test_registry_metadata_names_the_oldest_comfyui(project):
    assert project["tool"]["comfy"]["requires-comfyui"] == ">=0.3.64"


def test_the_door_is_short():
    assert len((ROOT / "__init__.py").read_text(encoding="utf-8").splitlines()) < 50
