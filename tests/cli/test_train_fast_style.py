"""`visage train fast-style PICTURE`."""

import numpy as np
import pytest
from PIL import Image
from visage.cli.main import main
from visage.models.fast_style import load_fast_style


@pytest.fixture
def painting(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "painting.png")
    return tmp_path / "painting.png"


def test_learns_a_picture_and_writes_the_file(painting, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (80, 80), "orange").save(photos / "one.png")
    command = ["train", "fast-style", str(painting), "--photos", str(photos)]
    assert main([*command, "--steps", "2", "--batch", "1", "--size", "64"]) == 0
    written = tmp_path / "painting.safetensors"
    assert str(written) in capsys.readouterr().out
    assert load_fast_style(written).blocks == 3
    assert main([*command, "--steps", "2"]) == 2
    assert "is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nothing.png"], "There is no picture"),
        (["{painting}", "--photos", "{empty}"], "no pictures in"),
        (["{painting}", "--steps", "0"], "at least 1"),
    ],
)
def test_bad_input_is_refused_in_words(painting, tmp_path, capsys, given, said):
    (tmp_path / "empty").mkdir()
    names = {"painting": painting, "empty": tmp_path / "empty"}
    assert main(["train", "fast-style", *(part.format(**names) for part in given)]) == 2
    assert said in capsys.readouterr().err
