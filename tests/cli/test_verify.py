import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from visage.cli.main import main
from visage.models.picture_files import CLAIM, save_new_png
from visage.techniques.edit_claim import make_claim


@pytest.fixture
def pictures(tmp_path):
    """An original and its edit with a claim, as files."""
    original = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30))
    mask[5:10, 5:10] = 1
    edited = original.copy()
    edited[6, 7] = 200
    info = PngInfo()
    info.add_text(CLAIM, json.dumps(make_claim(original, mask)))
    Image.fromarray(original).save(tmp_path / "original.png")
    path = save_new_png(Image.fromarray(edited), tmp_path, "edited_{:03}.png", 1, info)
    return path, tmp_path / "original.png"


def test_says_what_changed_and_that_the_claim_holds(pictures, capsys):
    assert main(["verify", *map(str, pictures)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 600 pixels changed (0.2%), by up to 100 of 255, within 1 x 1 px at (7, 6).",
        "The claim holds: the original is this one, and nothing else was changed.",
    ]


def test_a_change_elsewhere_is_exit_code_1(pictures, capsys):
    edited = Image.open(pictures[0])
    info = PngInfo()
    info.add_text(CLAIM, edited.info[CLAIM])
    edited.putpixel((29, 19), (0, 0, 0))
    edited.save(pictures[0], pnginfo=info)
    assert main(["verify", *map(str, pictures), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["broken"] == ["1 pixels were changed outside its mask"] and not said["holds"]


def test_a_file_saved_again_has_no_claim(pictures, capsys):
    Image.open(pictures[0]).copy().save(pictures[0])
    Image.open(pictures[0]).convert("RGB").save(pictures[0].with_suffix(".jpg"))
    assert main(["verify", str(pictures[0].with_suffix(".jpg")), str(pictures[1])]) == 1
    assert "NOT PROVEN: the file makes no claim" in capsys.readouterr().out


def test_a_damaged_claim_and_a_missing_file_are_one_line(pictures, capsys):
    info = PngInfo()
    info.add_text(CLAIM, "{")
    Image.open(pictures[1]).save(pictures[0], pnginfo=info)
    assert main(["verify", *map(str, pictures)]) == 2
    assert "its claim is damaged" in capsys.readouterr().err
    assert main(["verify", "nowhere.png", str(pictures[1])]) == 2
    assert "nowhere.png" in capsys.readouterr().err


def test_no_file_is_overwritten(tmp_path):
    picture = Image.new("RGB", (2, 2))
    paths = [save_new_png(picture, tmp_path, "a_{:03}.png", 7, PngInfo()) for _ in range(3)]
    assert [path.name for path in paths] == ["a_007.png", "a_008.png", "a_009.png"]
    assert sorted(tmp_path.iterdir()) == paths
