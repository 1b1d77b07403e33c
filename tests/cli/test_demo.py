"""`visage demo`: its files, its report, and what it says without ComfyUI."""

import json
import re
from pathlib import Path

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


def painted_red(name, original, folder):
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (512, 512), "red").save(folder / f"{name}.png")
    entry = {"name": name, "steps": 3, "seconds": 1.5, "file": str(folder / f"{name}.png")}
    return entry | ({"outside_max_abs_diff": 0.25} if name == "background" else {})


def size_of(file: str) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


@pytest.mark.slow
def test_report_and_files(monkeypatch, tmp_path, capsys):
    """With an editor that paints one pixel; the shipped workflow gets each picture's prompt."""
    prompts = []

    def edit(picture, prompt):
        prompts.append(demo.node_titled(prompt, "Prompt")[1]["inputs"]["text"])
        image = np.array(Image.open(picture))
        image[0, 0] = 255 - image[0, 0]
        proof = {
            "outside_max_abs_diff": 0.0,
            "mask_share": 0.125,
            "changed_share": 0.25,
            "outside_pixels": 7,
        }
        return demo.Edited({"overlay": image, "raw": image, "blended": image}, proof)

    monkeypatch.setattr(demo, "_diffusers_editor", lambda: edit)
    monkeypatch.setattr(demo.demo_paintings, "paint", painted_red)
    assert main.main(["demo", "--engine", "diffusers", "--output", str(tmp_path)]) == 0

    assert prompts == [
        "a portrait of a woman with dark brown skin",
        "a portrait of a woman with red hair",
        "a portrait of a woman with red lipstick",
    ]
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["engine", "comfyui_version", "seconds", "pictures", "paintings"]
    assert [painting["name"] for painting in report["paintings"]] == ["painted", "background"]
    assert (report["engine"], report["comfyui_version"]) == ("diffusers", None)
    sides = {"astronaut": 512, "first_portrait": 384, "second_portrait": 384}
    assert [picture["name"] for picture in report["pictures"]] == list(sides)
    for picture in report["pictures"]:
        assert list(picture) == [
            "name",
            "prompt",
            "words",
            "blend",
            "outside_max_abs_diff",
            "mask_share",
            "changed_share",
            "files",
            "identity",
            "verdict",
        ]
        assert picture["identity"] > 0.9, "one pixel in a corner was changed"
        assert (picture["outside_max_abs_diff"], picture["mask_share"]) == (0.0, 0.125)
        assert list(picture["files"]) == ["input", "overlay", "raw", "blended", "sheet"]
        sizes = {name: size_of(file) for name, file in picture["files"].items()}
        side = sides[picture["name"]]
        assert sizes["input"] == sizes["blended"] == (side, side)
        assert sizes["sheet"][0] > 4 * demo.SHEET_SIDE
    assert all(painting["identity"] < 0.3 for painting in report["paintings"])
    said = capsys.readouterr().out
    assert "Engine: diffusers" in said
    assert str(tmp_path / "report.html") in said
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<article>") == page.count('type="range"') == 5
    assert page.count("every pixel equals the original") == 3
    assert page.count("Painted from “a photo of a woman") == 2
    assert page.count("CHANGED, by up to 0.250000") == 1
    assert page.count("No proof") == 1
    # Everything is in the one file: it needs neither a network nor its neighbours.
    assert set(re.findall(r'(?:src|href)="(.{10})', page)) == {"data:image"}
    assert "http" not in page


def test_a_prompt_is_no_markup(tmp_path):
    from visage.cli.demo_page import write_page

    picture = str(tmp_path / "a.png")
    Image.new("RGB", (60, 40), "red").save(picture)
    entry = {
        "name": "astronaut",
        "prompt": "<b>$folder</b>",
        "words": "",
        "blend": "tone",
        "outside_max_abs_diff": 0.0,
        "changed_share": 0.1,
        "identity": None,
        "verdict": None,
        "files": dict.fromkeys(("input", "overlay", "raw", "blended"), picture),
    }
    report = {"comfyui_version": None, "seconds": 1.0, "pictures": [entry], "paintings": []}
    write_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;$folder&lt;/b&gt;" in page
    assert "no face found" in page
    assert "--ratio: 60 / 40" in page
    assert [file.name for file in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize("name", list(demo.EDITS))
def test_the_diffusers_engine_has_the_settings_of_the_workflow(name):
    prompt = demo.EDITS[name].changed_workflow()
    settings = demo._settings_of(prompt)
    told = {}
    for title in ("Soft mask", "Crop faces", "Soft inpaint", "Sampler"):
        inputs = demo.node_titled(prompt, title)[1]["inputs"]
        told |= {key: value for key, value in inputs.items() if not isinstance(value, list)}
    told["guidance"] = told.pop("cfg")
    shared = {key: value for key, value in vars(settings).items() if key in told}
    assert {
        "sigma",
        "grow",
        "context",
        "size",
        "mask_mode",
        "steps",
        "seed",
        "guidance",
    } <= shared.keys()
    assert shared == {key: told[key] for key in shared}


@pytest.mark.parametrize("name", list(demo.EDITS))
@pytest.mark.slow
def test_the_diffusers_engine_leaves_the_background_as_it_was(name, tmp_path):
    """The real models; what is saved equals the input wherever the mask does not reach."""
    entry = demo._edit_picture(name, tmp_path, demo._diffusers_editor())
    assert entry["outside_max_abs_diff"] == 0
    assert 0.02 < entry["mask_share"] < 0.5
    before, after = (np.array(Image.open(entry["files"][part])) for part in ("input", "blended"))
    changed = (before != after).any(axis=-1)
    # The fraction is the soft mask's mean; its support, where pixels may change, is larger.
    assert changed.mean() == pytest.approx(entry["changed_share"], abs=1e-3)
    assert 0.3 * entry["mask_share"] < changed.mean()


def test_the_paintings_are_what_the_workflows_make():
    import visage
    from visage.techniques.neural_style import NeuralStyle

    for name, workflow in (("painted", "paint_picture"), ("background", "paint_background")):
        path = Path(visage.__file__).parent / "workflows" / "api" / f"{workflow}.json"
        nodes = {
            node["_meta"]["title"]: node["inputs"] for node in json.loads(path.read_text()).values()
        }
        assert nodes["Style picture"]["image"] == demo.demo_paintings.STYLES[name]
        painter, defaults = nodes["Neural style"], NeuralStyle()
        for setting in ("strength", "content_weight", "style_weight", "size", "coarsest", "seed",
                        "style_scale", "colour", "start", "keep_strength"):  # fmt: skip
            assert painter[setting] == getattr(defaults, setting), setting
    assert (nodes["Who stays"]["faces"], nodes["Who stays"]["no_face"]) == ("all", "empty mask")
    around = nodes["Around the person"]
    assert (around["sigma"], around["grow"]) == (
        demo.demo_paintings.SIGMA,
        demo.demo_paintings.GROW,
    )


@pytest.mark.parametrize("name", list(demo.demo_paintings.STYLES))
@pytest.mark.slow
def test_paintings_change_the_picture_and_leave_the_person(name, tmp_path):
    original = demo._original("astronaut")[::3, ::3]
    entry = demo.demo_paintings.paint(name, original, tmp_path)
    painted = np.array(Image.open(entry["file"]))
    apart = abs(painted.astype(int) - original)
    assert apart[:40, 110:].mean() > 10
    if name == "background":
        assert entry["outside_max_abs_diff"] == 0
        # Somewhere in the middle of the face.
        assert (apart[35:50, 70:80] == 0).all()
