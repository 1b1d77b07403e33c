import pytest
import torch
from visage.techniques.hole_fill import fill_smooth


def test_keeps_what_is_known_and_fills_the_hole_between_its_neighbours():
    picture = torch.linspace(0, 1, 65).expand(1, 40, 65).unsqueeze(-1).repeat(1, 1, 1, 3)
    known = torch.ones(1, 40, 65)
    known[:, :, 20:45] = 0
    spoiled = torch.where(known.unsqueeze(-1) > 0, picture, torch.tensor(9.0))
    filled = fill_smooth(spoiled, known)
    assert torch.equal(filled[:, :, :20], picture[:, :, :20])
    hole = filled[:, :, 20:45]
    assert hole.min() >= picture[:, :, 18].min() and hole.max() <= picture[:, :, 47].max()
    assert (hole[:, :, -1] > hole[:, :, 0]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (64, 64), (37, 5)])
def test_one_known_pixel_fills_the_picture(size):
    picture, known = torch.zeros(1, *size, 3), torch.zeros(1, *size)
    picture[0, -1, 0] = 0.7
    known[0, -1, 0] = 1
    assert torch.allclose(fill_smooth(picture, known), torch.full((1, *size, 3), 0.7), atol=1e-5)


def test_a_picture_of_which_nothing_is_known_becomes_grey():
    filled = fill_smooth(torch.rand(2, 9, 9, 3), torch.zeros(2, 9, 9))
    assert torch.allclose(filled, torch.full((2, 9, 9, 3), 0.5))
