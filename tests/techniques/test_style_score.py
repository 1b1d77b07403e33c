from __future__ import annotations

import pytest
import torch
from visage.techniques.style_score import (
    StyleJudge,
    colour_distance,
    colour_statistics,
    cosine_distance,
    gram_distance,
    gram_matrices,
    style_score,
)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_a_gram_matrix_is_the_mean_product_of_channels():
    feature = random(1, 2, 3, 5)
    (gram,) = gram_matrices([feature])
    flat = feature[0].reshape(2, 15).double()
    assert torch.allclose(gram, torch.einsum("ik,jk->ij", flat, flat) / 30)


def test_under_a_mask_only_what_it_covers_counts():
    feature, mask = random(1, 2, 4, 6), torch.zeros(1, 8, 12)
    mask[:, :, :6] = 1
    (left,) = gram_matrices([feature[..., :3]])
    assert torch.allclose(gram_matrices([feature], mask)[0], left)
    assert torch.equal(
        gram_matrices([feature], torch.ones(1, 8, 12))[0], gram_matrices([feature])[0]
    )


def test_gram_matrices_forget_where_a_texture_is():
    feature = random(1, 4, 6, 6)
    moved = feature.roll((2, 3), (2, 3))
    assert gram_distance(gram_matrices([moved]), gram_matrices([feature])) == pytest.approx(0)


def test_gram_distance_is_relative_to_the_style_at_every_level():
    levels = gram_matrices([random(1, 3, 8, 8), 100 * random(1, 5, 4, 4, seed=1)])
    assert gram_distance([2 * level for level in levels], levels) == pytest.approx(1)


def test_cosine_distance_is_0_for_the_same_direction():
    vector = random(7)
    assert cosine_distance(3 * vector, vector) == pytest.approx(0, abs=1e-9)
    assert cosine_distance(-vector, vector) == pytest.approx(2)
    with pytest.raises(ValueError, match="of 7 and of 9 numbers"):
        cosine_distance(vector, random(9))


def test_colours_are_equal_wherever_they_are():
    picture = random(1, 8, 8, 3)
    shuffled = picture.flip(1, 2)
    assert colour_distance(colour_statistics(shuffled), colour_statistics(picture)) < 1e-4


def test_colour_distance_is_the_shift_of_one_colour_to_another():
    """From black to white is 100 units of lightness; no spread is no square root of nothing."""
    black, white = (torch.full((1, 4, 4, 3), value) for value in (0.0, 1.0))
    found = colour_distance(colour_statistics(black), colour_statistics(white))
    assert found == pytest.approx(100, abs=0.01)


def test_colour_distance_counts_contrast_as_well():
    """Independent channels: the distance of normal distributions is that of their deviations."""
    mean = torch.zeros(3, dtype=torch.float64)
    narrow = torch.diag(torch.tensor([1.0, 4, 9], dtype=torch.float64))
    wide = torch.diag(torch.tensor([9.0, 4, 1], dtype=torch.float64))
    assert colour_distance((mean, narrow), (mean, wide)) == pytest.approx(8**0.5)


def test_the_score_is_the_part_of_the_way_to_the_style():
    assert style_score(0.2, 0.8) == pytest.approx(0.75)
    assert style_score(0.0, 0.8) == 1 and style_score(0.8, 0.8) == 0
    assert style_score(1.0, 0.8) < 0
    assert style_score(0.2) == pytest.approx(0.8)


def test_an_original_that_is_the_style_gives_no_way():
    with pytest.raises(ValueError, match="is the style picture itself"):
        style_score(0.1, 0.0)


@pytest.mark.parametrize(
    "extract",
    [
        lambda picture: gram_matrices([picture.movedim(-1, 0)[None]]),
        lambda picture: picture.mean((0, 1)),
    ],
    ids=["gram matrices", "an embedding"],
)
def test_a_judge_sees_several_pictures_of_a_style_as_one(extract):
    styles = torch.stack([random(8, 8, 3), random(8, 8, 3) * 0.5])
    judge = StyleJudge(extract, styles)
    own, other = judge.distances(styles[0]), judge.distances(random(8, 8, 3, seed=9) ** 8)
    assert own[0] < other[0] and own[1] < other[1]
    alone = StyleJudge(extract, styles[:1]).distances(styles[0])
    assert alone == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-4))
