"""The script that makes the README's pictures."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import visage
from PIL import Image

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pictures():
    path = Path(visage.__file__).parent / "docs" / "make_pictures.py"
    spec = importlib.util.spec_from_file_location("make_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_sheet_has_each_picture_under_its_columns_title(pictures):
    red, blue = (np.full((8, 8, 3), colour, np.uint8) for colour in ((250, 0, 0), (0, 0, 250)))
    page = np.asarray(pictures.sheet([[red, blue], [blue, red]], ["one", "two"], 40))
    first, second = pictures.GAP + 20, pictures.GAP * 2 + 60
    top, bottom = pictures.LINE + 20, pictures.LINE + pictures.GAP + 60
    assert page[top, first].tolist() == page[bottom, second].tolist() == [250, 0, 0]
    assert page[bottom, first].tolist() == page[top, second].tolist() == [0, 0, 250]
    assert (page[: pictures.LINE] < 128).any()


@pytest.mark.slow
def test_learning_curves_are_drawn_from_the_logs_of_a_run(pictures, tmp_path):
    pytest.importorskip("matplotlib")
    for stage, measure in (("vae", "psnr"), ("unet", "mse")):
        lines = [{"step": n, "loss": 1.0, measure: 1 / (n + 1), "seconds": 0.1} for n in range(90)]
        (tmp_path / f"{stage}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    pictures.save_learning_curves(tmp_path, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.width > 500


def test_a_folder_without_logs_is_refused(pictures, tmp_path):
    with pytest.raises(FileNotFoundError, match="jsonl"):
        pictures.save_learning_curves(tmp_path, tmp_path / "curves.png")


def test_the_style_curve_is_drawn_from_the_results(pictures, tmp_path):
    pytest.importorskip("matplotlib")
    figures = {"style_gain": 0.1}
    for row in ("0.5", "1", "masked", "best"):
        for column in ("style", "identity", "leak"):
            figures |= {f"{column}_{row}": 0.2, f"{column}_{row}_error": 0.01}
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"figures": figures}))
    pictures.save_style_curve(results, tmp_path / "curve.png")
    drawn = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")).astype(int)
    blue = (drawn[..., 2] - drawn[..., 0] > 60).any(0)
    assert blue[: drawn.shape[1] // 2].any()
    assert blue[drawn.shape[1] // 2 :].any()
