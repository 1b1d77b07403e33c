"""Where ComfyUI is looked for, without importing it."""

import pytest
from visage.engines.comfyui import location as comfyui_location
from visage.engines.comfyui.location import comfyui_version, find_comfyui


@pytest.fixture
def make_comfyui():
    def make(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.py").touch()
        (folder / "comfyui_version.py").write_text('# generated\n__version__ = "0.3.64"\n')
        return folder

    return make


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No ComfyUI in any of the usual places."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(comfyui_location, "PACKAGE", tmp_path / "a" / "b" / "visage")


def test_none_is_found():
    assert find_comfyui() is None


def test_the_named_one_comes_first(tmp_path, monkeypatch, make_comfyui):
    make_comfyui(tmp_path / "home" / "comfy" / "ComfyUI")
    named = make_comfyui(tmp_path / "named")
    monkeypatch.setenv("COMFYUI_PATH", str(named))
    assert find_comfyui() == named


def test_a_wrong_name_is_an_error_and_not_passed_over(tmp_path, monkeypatch, make_comfyui):
    make_comfyui(tmp_path / "home" / "comfy" / "ComfyUI")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="COMFYUI_PATH is .*gone"):
        find_comfyui()


def test_then_the_one_this_pack_is_installed_in(tmp_path, make_comfyui):
    make_comfyui(tmp_path / "home" / "comfy" / "ComfyUI")
    around = make_comfyui(tmp_path / "a")
    assert find_comfyui() == around


def test_then_the_one_in_the_home_folder(tmp_path, make_comfyui):
    home = make_comfyui(tmp_path / "home" / "comfy" / "ComfyUI")
    assert find_comfyui() == home


def test_version(tmp_path, make_comfyui):
    assert comfyui_version(make_comfyui(tmp_path / "one")) == "0.3.64"
