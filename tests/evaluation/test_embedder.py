from __future__ import annotations

import pytest
import torch
from visage.evaluation.embedder import (
    accuracy,
    best_threshold,
    embedder_figures,
    pair_cosines,
    portraits_of,
)
from visage.world.portrait import person_of


class Colours:
    """Stands in for an embedder: the mean colour of the face around the nose."""

    def embed(self, faces):
        vectors = faces[:, 50:90, 40:72].mean((1, 2)) - 0.5
        return torch.nn.functional.normalize(vectors, dim=1)


def test_portraits_of_a_person_show_that_person():
    for person in (0, 5, 127, 128, 300):
        portraits = portraits_of(person)
        assert len(set(portraits)) == 5
        assert len({person_of(index, "test") for index in portraits}) == 1
    assert person_of(portraits_of(127)[0], "test") != person_of(portraits_of(128)[0], "test")


def test_pairs_are_balanced_and_of_the_right_people():
    # Person k's vectors point along axis k, so that the cosine says whether it is one person.
    vectors = torch.eye(7)[:, None].expand(-1, 5, -1)
    same, different = pair_cosines(vectors, vectors)
    assert len(same) == len(different) == 70
    assert same.eq(1).all() and different.eq(0).all()


def test_the_threshold_parts_the_pairs_best():
    same, different = torch.tensor([0.9, 0.8, 0.3]), torch.tensor([0.1, 0.2, 0.4])
    threshold = best_threshold(same, different)
    assert accuracy(same, different, threshold) == pytest.approx(5 / 6)
    assert best_threshold(torch.tensor([0.9]), torch.tensor([0.1])) == pytest.approx(0.5)


def test_the_threshold_of_pairs_that_cannot_be_parted_is_harmless():
    equal = torch.tensor([0.5, 0.5])
    assert accuracy(equal, equal, best_threshold(equal, equal)) == 0.5


def test_figures_come_out_named_and_better_than_chance():
    figures = embedder_figures(Colours(), 4)
    assert set(figures) == {"embedder_accuracy", "embedder_cross_style_accuracy"}
    assert 0 <= min(figures.values()) and max(figures.values()) <= 1
    assert figures == embedder_figures(Colours(), 4)
