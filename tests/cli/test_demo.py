"""`visage demo`: its files, its report, and what it says without ComfyUI."""

import json

import numpy as np
import pytest
from PIL import Image
from visage.cli import demo, main


def test_without_comfyui_its_engine_is_refused_with_the_way_to_get_it(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(demo, "find_comfyui", lambda: None)
    assert main.main(["demo", "--engine", "comfyui", "--output", str(tmp_path)]) == 2
    assert "make comfyui" in capsys.readouterr().err


def test_report_and_files(monkeypatch, tmp_path, capsys):
    """With an editor that paints one pixel; the shipped workflow gets each picture's prompt."""
    prompts = []

    def edit(picture, prompt):
        prompts.append(demo.node_titled(prompt, "Prompt")[1]["inputs"]["text"])
        image = np.array(Image.open(picture))
        image[0, 0] = 255 - image[0, 0]
        proof = {"outside_max_abs_diff": 0.0, "mask_share": 0.125, "outside_pixels": 7}
        return demo.Edited({"overlay": image, "raw": image, "blended": image}, proof)

    monkeypatch.setattr(demo, "_diffusers_editor", lambda: edit)
    assert main.main(["demo", "--engine", "diffusers", "--output", str(tmp_path)]) == 0

    assert prompts == list(demo.PROMPTS.values())
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["engine", "comfyui_version", "seconds", "pictures"]
    assert (report["engine"], report["comfyui_version"]) == ("diffusers", None)
    assert [picture["name"] for picture in report["pictures"]] == ["portrait", "astronaut"]
    for picture in report["pictures"]:
        assert list(picture) == ["name", "outside_max_abs_diff", "mask_share", "files"]
        assert (picture["outside_max_abs_diff"], picture["mask_share"]) == (0.0, 0.125)
        assert list(picture["files"]) == ["input", "overlay", "raw", "blended", "sheet"]
        sizes = {name: Image.open(file).size for name, file in picture["files"].items()}
        assert sizes["input"] == sizes["blended"] == (512, 512)
        assert sizes["sheet"][0] > 4 * demo.SHEET_SIDE
    assert "Engine: diffusers" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(demo.PROMPTS))
def test_the_diffusers_engine_leaves_the_background_as_it_was(name, tmp_path):
    """The real models; what is saved equals the input wherever the mask does not reach."""
    entry = demo._edit_picture(name, tmp_path, demo._diffusers_editor())
    assert entry["outside_max_abs_diff"] == 0
    assert 0.02 < entry["mask_share"] < 0.5
    before, after = (np.array(Image.open(entry["files"][part])) for part in ("input", "blended"))
    changed = (before != after).any(axis=-1)
    # The share is the soft mask's mean; its support, where pixels may change, is larger.
    assert 0.3 * entry["mask_share"] < changed.mean() < 2 * entry["mask_share"]
