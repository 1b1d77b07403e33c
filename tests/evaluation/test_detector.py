from __future__ import annotations

import numpy as np
import torch
from visage.evaluation.detector import detector_figures, judge
from visage.models.face_detector import Detections
from visage.world import Scene, SceneFace, scene


def made_up(*faces):
    """A scene with faces given as box and visible share."""
    empty = np.zeros((256, 256), np.uint8)
    known = [SceneFace(i, box, np.zeros((5, 2)), seen) for i, (box, seen) in enumerate(faces)]
    return Scene(np.zeros((256, 256, 3), np.uint8), empty, empty, known, [], "photo")


def boxes(*found):
    rows = torch.tensor(found, dtype=torch.float32).view(-1, 4)
    return Detections(rows, torch.linspace(0.9, 0.6, len(rows)), torch.zeros(len(rows), 5, 2))


TRUTH = made_up(((10, 10, 40, 50), 1.0), ((100, 20, 30, 40), 0.9))


def test_right_boxes_are_hits():
    assert judge(boxes((12, 9, 40, 50), (100, 22, 30, 40)), TRUTH) == (2, 2, 0)


def test_a_missed_face_and_a_box_beside_it_count_against():
    assert judge(boxes((12, 9, 40, 50), (180, 180, 40, 40)), TRUTH) == (1, 2, 1)


def test_a_second_box_over_a_face_is_wrong():
    assert judge(boxes((10, 10, 40, 50), (11, 11, 40, 50)), TRUTH) == (1, 2, 1)


def test_small_and_hidden_faces_count_neither_way():
    truth = made_up(((10, 10, 15, 18), 1.0), ((100, 20, 30, 40), 0.3))
    assert judge(boxes((10, 10, 15, 18), (100, 20, 30, 40), (200, 200, 10, 10)), truth) == (0, 0, 0)


def test_nothing_found_is_no_error():
    assert judge(boxes(), TRUTH) == (0, 2, 0)


class Knowing:
    """Stands in for a perfect detector: it has seen the scenes."""

    def __init__(self, count):
        self.scenes = [scene(index, 256, "test") for index in range(count)]

    def find(self, image):
        here = next(s for s in self.scenes if np.array_equal(s.image, (image[0] * 255).round()))
        return [boxes(*(face.box for face in here.faces))]


def test_a_perfect_detector_scores_one():
    figures = detector_figures(Knowing(2), 2)
    assert figures == {"detector_recall": 1.0, "detector_precision": 1.0}
