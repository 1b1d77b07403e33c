"""How well faces are parsed: the figures, and the hand-drawn outline that one of them needs."""

import numpy as np
import pytest
import torch
from visage.evaluation.held_out import held_out
from visage.evaluation.parsing import ASTRONAUT_OUTLINE, astronaut_outline, parser_figures
from visage.models.face_classes import CLASSES


class TrueParser:
    """Knows the answer for every held-out portrait, apart from one class it never sees."""

    input_size = 64

    def __init__(self, blind=None):
        self.blind, self.number = blind, 0

    def probabilities(self, image):
        labels = held_out([self.number], 64)[0].labels.copy()
        self.number += 1
        if self.blind:
            labels[labels == CLASSES.index(self.blind)] = 0
        return torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 19).movedim(-1, 0)[None]


def test_a_perfect_parser_scores_one_over_the_classes_that_occur():
    figures = parser_figures(TrueParser(), 2)
    assert figures["parser_face_iou"] == 1
    assert figures["parser_miou"] == 1


def test_a_class_never_found_costs_its_fraction():
    figures = parser_figures(TrueParser(blind="hair"), 12)
    assert figures["parser_face_iou"] == 1
    assert figures["parser_miou"] == pytest.approx(18 / 19, abs=0.01)


def test_the_outline_is_one_face_in_the_upper_middle_of_the_photograph():
    drawn = astronaut_outline()
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max()) == (69, 178)
    assert (columns.min(), columns.max()) == (181, 269)
    assert 7400 < drawn.sum() < 8000


def test_the_outline_lies_beside_the_code_that_needs_it():
    assert ASTRONAUT_OUTLINE.parent.parent.name == "evaluation"
