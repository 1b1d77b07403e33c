"""`visage train fast-style PICTURE`."""

import os
import signal

import numpy as np
import pytest
from PIL import Image
from visage.cli.main import main
from visage.models.fast_style import load_fast_style
from visage.training import fast_style


@pytest.fixture
def painting(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "painting.png")
    return tmp_path / "painting.png"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (80, 80), "orange").save(folder / "one.png")
    return folder


def test_learns_a_picture_and_writes_the_file(painting, photos, tmp_path, capsys):
    command = ["train", "fast-style", str(painting), "--photos", str(photos)]
    assert main([*command, "--steps", "2", "--batch", "1", "--size", "64"]) == 0
    written = tmp_path / "painting.safetensors"
    assert str(written) in capsys.readouterr().out
    assert load_fast_style(written).blocks == 3
    assert main([*command, "--steps", "2"]) == 2
    assert "is kept" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_learned_is_kept_when_it_is_stopped(
    painting, photos, tmp_path, capsys, monkeypatch, number
):
    steps, content_loss = [], fast_style.content_loss

    def stopped_in_the_second_step(painted, target):
        steps.append(1)
        if len(steps) == 2:
            os.kill(os.getpid(), number)
        return content_loss(painted, target)

    monkeypatch.setattr(fast_style, "content_loss", stopped_in_the_second_step)
    before = signal.getsignal(number)
    command = ["train", "fast-style", str(painting), "--photos", str(photos)]
    assert main([*command, "--steps", "1000", "--batch", "1", "--size", "64"]) == 0
    assert len(steps) == 2
    assert load_fast_style(tmp_path / "painting.safetensors").blocks == 3
    assert "Wrote" in capsys.readouterr().out
    assert signal.getsignal(number) is before


def must_not_begin(*_args):
    pytest.fail("the training has begun")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nothing.png"], "There is no picture"),
        (["{painting}", "--photos", "{empty}"], "no pictures in"),
        (["{painting}", "--steps", "0"], "at least 1"),
        (["{painting}", "--out", "style.pth"], "not as 'style.pth'. Name another file with --out"),
        (["{painting}", "--out", "{painting}"], "not as 'painting.png'"),
    ],
)
def test_bad_input_is_refused_in_words(painting, tmp_path, capsys, monkeypatch, given, said):
    monkeypatch.setattr(fast_style, "train_fast_style", must_not_begin)
    (tmp_path / "empty").mkdir()
    names = {"painting": painting, "empty": tmp_path / "empty"}
    assert main(["train", "fast-style", *(part.format(**names) for part in given)]) == 2
    assert said in capsys.readouterr().err
