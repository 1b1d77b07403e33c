"""`visage train face-edit` and `visage evaluate face-edit`, from pictures to a file and a table."""

import json

import numpy as np
import pytest
from PIL import Image
from visage.cli.main import main
from visage.models.face_edit import read_face_edit
from visage.training.face_edit.config import FaceEditConfig

QUICK = ["--size", "64", "--batch", "2", "--validate-every", "0", "--cpu"]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[16:48, 20:44] = 255
        Image.fromarray(picture).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}.mask.png")
        (folder / f"{index}.txt").write_text("a face")
    return folder


def train(pictures, starter, *more):
    base = ["--base", str(starter), "--out", str(pictures.parent / "run")]
    return main(["train", "face-edit", str(pictures), *base, *QUICK, *more])


def test_trains_resumes_and_is_evaluated(pictures, random_starter, capsys):
    settings = pictures.parent / "settings.json"
    settings.write_text(json.dumps({"alpha": 0.1, "steps": 9}))
    assert train(pictures, random_starter, "--config", str(settings), "--steps", "1") == 0
    out = pictures.parent / "run" / "face_edit.safetensors"
    assert f"{out}: 1 steps" in capsys.readouterr().out
    used = json.loads(read_face_edit(out).metadata["visage.config"])
    assert used["alpha"] == 0.1 and used["steps"] == 1 and used["adapter_strength"] == 0.3
    assert train(pictures, random_starter, "--steps", "2") == 2
    assert "already holds a run" in capsys.readouterr().err
    assert train(pictures, random_starter, "--alpha", "0.1", "--steps", "2", "--resume") == 0
    assert read_face_edit(out).metadata["visage.steps"] == "2"

    table = pictures.parent / "table"
    options = ["--base", str(random_starter), "--face-edit", str(out), "--out", str(table)]
    options += ["--size", "64", "--steps", "1", "--pairs", "2", "--evaluation-share", "0.7"]
    assert main(["evaluate", "face-edit", str(pictures), *options]) == 0
    assert "| ours | 0 [0, 0] |" in capsys.readouterr().out
    assert json.loads((table / "table.json").read_text())["about"]["pairs"] == 2
    assert len(list((table / "ours").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "no folder gone"),
        (["PICTURES", "--size", "100"], "multiple of 8"),
        (["PICTURES", "--parts", "elbow"], "elbow"),
    ],
)
def test_bad_input_is_named(arguments, message, pictures, capsys):
    arguments = [str(pictures) if word == "PICTURES" else word for word in arguments]
    assert main(["train", "face-edit", *arguments, "--cpu"]) == 2
    assert message in capsys.readouterr().err


def test_every_setting_is_an_option_and_the_papers_value_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["train", "face-edit", "--help"])
    text = capsys.readouterr().out
    for name in FaceEditConfig().to_dict():
        assert f"--{name.replace('_', '-')}" in text
    config = FaceEditConfig()
    assert (config.kv_learning_rate, config.adapter_learning_rate) == (5e-5, 1e-4)
    assert (config.batch, config.epochs, config.alpha, config.adapter_strength) == (
        16,
        10,
        0.05,
        0.3,
    )
    assert (config.size, config.seed, config.flip) == (512, 42, 0.5)
