"""`visage train style-lora`, from a picture to a file that loads."""

import numpy as np
import pytest
from PIL import Image
from visage.cli.main import main
from visage.models.style_lora import read_style_lora
from visage.training import style_lora


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "style.png"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_writes_a_lora_beside_the_picture(picture, random_starter, capsys):
    arguments = ["--model", str(random_starter), "--steps", "1", "--rank", "2", "--size", "64"]
    assert main(["train", "style-lora", str(picture), *arguments]) == 0
    lora = read_style_lora(picture.with_suffix(".safetensors"))
    assert len(lora.layers) == 16 * 8
    assert lora.metadata["visage.prompt"] == "painting of <sss>"
    assert capsys.readouterr().out.strip() == str(picture.with_suffix(".safetensors"))
    assert main(["train", "style-lora", str(picture), *arguments]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_narrow_starter_learns_faster(picture, random_starter):
    few = ["--steps", "1", "--rank", "2", "--size", "64"]
    for model, rate in (([], "0.001"), (["--model", str(random_starter)], "0.0002")):
        out = picture.with_name(f"{rate}.safetensors")
        assert main(["train", "style-lora", str(picture), *few, *model, "--out", str(out)]) == 0
        assert read_style_lora(out).metadata["ss_learning_rate"] == rate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], "gone.png"),
        (["PICTURE", "--rank", "0"], "Rank"),
        (["PICTURE", "--out", "style.pt"], "not as 'style.pt'. Name another file with --out"),
    ],
)
def test_bad_input_is_named(arguments, message, picture, capsys, monkeypatch):
    def must_not_begin(*_args):
        pytest.fail("the training has begun")

    monkeypatch.setattr(style_lora, "train_style_lora", must_not_begin)
    arguments = [str(picture) if word == "PICTURE" else word for word in arguments]
    assert main(["train", "style-lora", *arguments]) == 2
    assert message in capsys.readouterr().err
