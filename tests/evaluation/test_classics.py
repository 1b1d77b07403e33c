"""Paintings of people judged; the judges here are stand-ins whose answers are known."""

import numpy as np
import pytest
import torch
from visage.evaluation.classics import (
    Row,
    at_equal_style,
    compare,
    dialled,
    interval,
    moving_clip,
    patches_way,
)
from visage.techniques.neural_style import NeuralStyle


class MeanColourEncoder:
    """Embeds a picture as its mean colour, where it is not masked."""

    def features(self, picture, masked=None, crop=True):
        seen = picture[0] if masked is None else picture[0][masked < 0.5]
        return {"image_embeds": seen.reshape(-1, 3).mean(0, keepdim=True)}


class MiddleJudge:
    """Finds one face in the middle; its embedding are the pixels there."""

    def __init__(self, found=True):
        self.found = found

    def faces(self, image):
        return [(20, 20, 24, 24)] if self.found else []

    def embedding(self, image, box):
        return image[20:44, 20:44].astype(float).flatten() / 255


@pytest.fixture
def photographs():
    """Soft forms with a little grain."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64] / 64
    forms = np.stack([np.sin(6 * rows), np.cos(5 * columns), rows * columns], -1)
    return [
        ((forms * 90 + 110) + rng.normal(0, 3, forms.shape)).clip(0, 255).astype(np.uint8)
        for _ in range(2)
    ]


@pytest.fixture(autouse=True)
def masked(monkeypatch):
    """The parser's mask is the middle of the picture."""
    import visage.evaluation.classics as module

    class Masked:
        mask = torch.zeros(1, 64, 64)

    Masked.mask[:, 16:48, 16:48] = 1
    monkeypatch.setattr(module, "face_mask", lambda *given, **settings: Masked)


def test_no_face_is_an_error_in_words(photographs):
    with pytest.raises(ValueError, match="no face"):
        compare(photographs, [torch.rand(40, 40, 3)], {}, MiddleJudge(False), MeanColourEncoder(),
                None)  # fmt: skip


def test_who_is_kept_is_nearer_to_the_photograph(photographs):
    paintings = [torch.rand(40, 40, 3) * torch.tensor([0.2, 0.4, 1.0])]
    ways = {
        "free": patches_way(paintings, NeuralStyle(keep_strength=0.0)),
        "kept": patches_way(paintings, NeuralStyle(keep_strength=1.0)),
    }
    rows = compare(photographs, paintings, ways, MiddleJudge(), MeanColourEncoder(), None)
    assert np.mean(rows["kept"].distance) < np.mean(rows["free"].distance)
    assert min(rows["free"].style) > 0.5


def test_a_photograph_is_painted_after_several_paintings(photographs):
    seen = []

    def way(picture, painting, keep):
        seen.append(painting)
        return picture

    paintings = [torch.rand(40, 40, 3) for _ in range(3)]
    rows = compare(
        photographs, paintings, {"same": way}, MiddleJudge(), MeanColourEncoder(), None, each=2
    )
    assert seen == [0, 1, 2, 0]
    assert rows["same"].distance == [0.0] * 4
    assert rows["same"].style == pytest.approx([0.0] * 4, abs=1e-6)


def test_a_dial_mixes_the_pictures():
    def way(picture, painting, keep):
        return torch.ones_like(picture)

    assert dialled(way, 0.25)(torch.zeros(2, 2, 3), 0, None).mean() == 0.25


def test_identity_is_compared_at_equal_style():
    curve = [Row([0.0, 0.0], [1.0, 1.0]), Row([0.5, 1.0], [0.0, 0.5])]
    assert at_equal_style(curve, [0.25, 2.0]) == [0.5, 0.5]


def test_the_interval_holds_the_mean():
    mean, low, high = interval([0.0, 1.0, 0.5, 0.6])
    assert low < mean < high
    assert mean == pytest.approx(0.525)


def test_a_moving_clip_moves():
    clip = moving_clip(torch.rand(60, 60, 3), 32, 3)
    assert clip.shape == (3, 32, 32, 3)
    apart = (clip[1][:-1, :-3] - clip[0][1:, 3:]).abs().mean()
    assert apart < 0.05
