"""The plots show what was measured."""

import pytest
import torch
from PIL import Image
from visage.evaluation.face_edit import Pair, Row

pytest.importorskip("matplotlib")


@pytest.fixture
def pair():
    mask = torch.zeros(32, 32)
    mask[8:21, 10:20] = 1
    return Pair("face", torch.rand(32, 32, 3), mask, "a face")


def test_profile_runs_through_the_middle_of_the_mask(pair):
    from visage.evaluation.face_edit_plots import boundary_row

    assert boundary_row(pair) == 14


def test_each_plot_is_a_picture(pair, tmp_path):
    from visage.evaluation import face_edit_plots as plots

    edits = {"ours": pair.image * (1 - pair.mask[..., None]), "plain": pair.image * 0.5}
    rows = [Row("ours", {"psnr_background": [30.0, 31.0, float("inf")]}), Row("lost", missing="x")]
    plots.plot_spread(rows, "psnr_background", tmp_path / "spread.png")
    plots.plot_profile(pair, edits, tmp_path / "profile.png")
    plots.plot_differences(pair, edits, tmp_path / "differences.png")
    for name in ("spread", "profile", "differences"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 100
