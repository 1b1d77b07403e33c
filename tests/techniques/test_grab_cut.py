"""The object in a roughly marked area."""

import pytest
import torch
from visage.techniques.grab_cut import grab_cut


@pytest.fixture
def scene():
    """A red disc before a noisy blue wall, and a rough box around it."""
    y, x = torch.meshgrid(torch.arange(80), torch.arange(100), indexing="ij")
    disc = ((y - 40) ** 2 + (x - 50) ** 2 < 15**2).float()
    wall = torch.tensor([0.1, 0.2, 0.6]).expand(80, 100, 3)
    picture = torch.where(disc.unsqueeze(-1) > 0, torch.tensor([0.8, 0.2, 0.1]), wall)
    noise = 0.05 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))
    box = torch.zeros(1, 80, 100)
    box[:, 18:62, 28:75] = 1
    return (picture + noise)[None].clamp(0, 1), box, disc


def test_a_box_becomes_the_object_in_it(scene):
    picture, box, disc = scene
    found = grab_cut(picture, box)[0]
    assert (found != disc).float().mean() < 0.01
    assert found.unique().tolist() == [0, 1]


def test_large_pictures_are_cut_at_a_smaller_size(scene):
    picture, box, disc = (t.repeat_interleave(12, -2).repeat_interleave(12, -1)
                          for t in (scene[0].movedim(-1, 1), scene[1], scene[2]))  # fmt: skip
    found = grab_cut(picture.movedim(1, -1), box)[0]
    assert found.shape == (960, 1200)
    assert (found != disc).float().mean() < 0.015


def test_nothing_outside_the_area_is_ever_found(scene):
    picture, box, _ = scene
    half = box.clone()
    half[:, :, 50:] = 0
    assert not (grab_cut(picture, half) * (1 - half)).any()


def test_an_empty_area_stays_empty_and_a_whole_picture_whole(scene):
    picture, box, _ = scene
    assert not grab_cut(picture, torch.zeros_like(box)).any()
    assert grab_cut(picture, torch.ones_like(box)).all()


def test_gray_pictures_and_batches(scene):
    picture, box, disc = scene
    gray = picture.mean(-1, keepdim=True).expand(2, -1, -1, -1)
    assert grab_cut(gray, box).shape == (2, 80, 100)
