from __future__ import annotations

import math

import pytest
import torch
from visage.models.face_analyzer import FoundFace, Thresholds
from visage.techniques.face_choice import (
    ChosenFaces,
    choose_faces,
    most_alike,
    reference_embedding,
    require_same_size,
)


def face(x, side, score, landmarks=None):
    return FoundFace((x, 10.0, side, side), score, landmarks)


FACES = [face(80.0, 20.0, 0.9), face(10.0, 40.0, 0.5), face(200.0, 12.0, 0.7)]


def boxes(faces):
    return [found.box[0] for found in faces]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("left to right", [10, 80, 200]),
        ("largest", [10, 80, 200]),
        ("surest", [80, 200, 10]),
    ],
)
def test_faces_come_in_the_order_that_is_asked_for(order, expected):
    assert boxes(choose_faces(FACES, order)) == expected


def test_the_largest_comes_first_wherever_it_is():
    assert boxes(choose_faces([*FACES, face(300.0, 50.0, 0.4)], "largest", 0)) == [300]


def test_one_face_is_chosen_by_its_number_after_the_size_limits():
    assert boxes(choose_faces(FACES, index=1)) == [80]
    assert boxes(choose_faces(FACES, index=1, smallest=12, largest=20)) == [200]
    assert choose_faces(FACES, index=3) == []
    assert choose_faces([], index=0) == []


def test_size_limits_keep_what_they_name():
    assert boxes(choose_faces(FACES, smallest=20)) == [10, 80]
    assert boxes(choose_faces(FACES, largest=20)) == [80, 200]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order is 'tallest'; it must be one of left to right"):
        choose_faces(FACES, "tallest")


class ByPlace:
    """Stands in for an analyzer: whose face it is depends on where the first landmark lies."""

    name, licence, embedding_size = "by place", "none", 2
    thresholds = Thresholds(0.9, 0.5, "made up")

    def __init__(self, found):
        self.found = found

    def find(self, image):
        return self.found

    def embed(self, image, faces):
        angles = torch.tensor([float(landmarks[0, 0]) for landmarks in faces])
        return torch.stack([angles.cos(), angles.sin()], 1)


def at(angle):
    return face(100 * angle, 30.0, 0.8, torch.full((5, 2), angle))


def direction(angle):
    return torch.tensor([math.cos(angle), math.sin(angle)])


PICTURE = torch.zeros(20, 20, 3)


def test_the_person_of_a_reference_is_found_again():
    analyzer = ByPlace([at(0.0), at(1.0), at(2.0)])
    found, cosine = most_alike(PICTURE, analyzer.found, direction(1.1), analyzer)
    assert found is analyzer.found[1] and cosine > 0.99


def test_nobody_is_alike_where_there_is_no_face_with_landmarks():
    analyzer = ByPlace([])
    assert most_alike(PICTURE, [], torch.ones(2), analyzer) is None
    assert most_alike(PICTURE, [face(1.0, 9.0, 0.9)], torch.ones(2), analyzer) is None


def test_several_reference_pictures_give_the_mean_direction():
    class Turning(ByPlace):
        def find(self, image):
            return [at(float(image.mean()))]

    vector = reference_embedding(torch.stack([PICTURE, PICTURE + 1.0]), Turning([]))
    assert torch.allclose(vector, direction(0.5), atol=1e-6)


def test_a_reference_without_a_face_says_so():
    with pytest.raises(ValueError, match="'by place' finds no face .* 20 x 20 px"):
        reference_embedding(PICTURE[None], ByPlace([]))


def test_embeddings_of_two_analyzers_are_not_compared():
    with pytest.raises(ValueError, match="of 512 and of 128 numbers"):
        require_same_size(torch.zeros(1, 512), torch.zeros(3, 128))
    with pytest.raises(ValueError, match="of 3 and of 2 numbers"):
        most_alike(PICTURE, [at(0.0)], torch.ones(3), ByPlace([]))


def test_a_choice_is_an_analyzer_that_finds_only_the_chosen_faces():
    chosen = ChosenFaces(ByPlace(FACES), "largest", 0, largest=30)
    assert boxes(chosen.find(PICTURE)) == [80]
    assert (chosen.name, chosen.embedding_size) == ("by place", 2)
    assert torch.equal(chosen.embed(PICTURE, [torch.zeros(5, 2)]), torch.tensor([[1.0, 0.0]]))


def test_a_choice_with_a_reference_finds_that_person_or_nobody():
    people = [at(0.0), at(1.2), at(2.4)]
    chosen = ChosenFaces(ByPlace(people), reference=direction(1.3))
    assert chosen.find(PICTURE) == [people[1]]
    # Half a turn away from everybody.
    assert ChosenFaces(ByPlace(people), reference=direction(4.5)).find(PICTURE) == []


def test_a_choice_in_an_unknown_order_is_refused_before_it_is_used():
    with pytest.raises(ValueError, match="tallest"):
        ChosenFaces(ByPlace(FACES), "tallest")
