"""What an installed copy and the ComfyUI registry get."""

import importlib.util
from pathlib import Path

import pytest
import visage
from PIL import Image

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


@pytest.fixture
def registry():
    path = ROOT / ".github" / "registry.py"
    spec = importlib.util.spec_from_file_location("registry", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_registry_gets_links_icon_and_banner_of_whoever_publishes(registry):
    tomllib = pytest.importorskip("tomllib")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    told = tomllib.loads(registry.with_addresses(text, "someone/visage"))
    assert told["project"]["urls"]["Issues"] == "https://github.com/someone/visage/issues"
    assert told["tool"]["comfy"]["Icon"].endswith(f"/someone/visage/main/{registry.ICON}")
    assert told["tool"]["comfy"]["Banner"].endswith(registry.BANNER)
    with pytest.raises(ValueError, match="OWNER/NAME"):
        registry.with_addresses(text, "someone")


def test_icon_and_banner_have_the_registrys_shapes(registry):
    with Image.open(ROOT / registry.ICON) as icon, Image.open(ROOT / registry.BANNER) as banner:
        assert icon.size == (400, 400)
        assert banner.width * 9 == banner.height * 21


def test_the_door_is_short():
    assert len((ROOT / "__init__.py").read_text(encoding="utf-8").splitlines()) < 50
