"""`visage train --ray`: the losses of one process with the same global batch."""

import json
import math
import sys
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from visage.batch.train import run_together
from visage.cli.main import main


@pytest.fixture
def data(tmp_path):
    from visage.world.export import export_portraits

    for _ in export_portraits(tmp_path / "world", 6, 64, "train", None, workers=1):
        pass
    return tmp_path / "world"


def losses(folder) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_two_processes_have_the_losses_of_one(local_ray, random_starter, data, tmp_path):
    words = ["train", "face-edit", data, "--base", random_starter, "--cpu", "--size", 64]
    words += ["--batch", 4, "--steps", 3, "--validate-every", 0, "--cache", tmp_path / "cache"]
    assert main(list(map(str, [*words, "--out", tmp_path / "one"]))) == 0
    assert main(list(map(str, [*words, "--out", tmp_path / "two", "--ray", 2]))) == 0
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (load_file(tmp_path / name / "face_edit.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-3)


def test_an_error_is_the_functions_own(local_ray, tmp_path):
    with pytest.raises(ValueError, match="math domain error|expected a nonnegative"):
        run_together(partial(math.sqrt, -1), 1, None, tmp_path)


def test_says_that_ray_is_not_installed(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["train", "face-edit", str(data), "--out", str(tmp_path / "out"), "--ray", "2"]
    assert main(words) == 2
    assert "pip install -e '.[scale]'" in capsys.readouterr().err
