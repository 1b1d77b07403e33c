from __future__ import annotations

import pytest
import torch
from visage.evaluation.embedder import portraits_of
from visage.models.face_analyzer import Analyzer, FoundFace, Thresholds, starter_analyzer
from visage.models.face_embedder import TEMPLATE
from visage.world import portrait


class ByColour:
    """Stands in for a recognizer: a face is who its mean colour says."""

    size = 3
    thresholds = Thresholds(0.9, 0.5, "made up")

    def embed(self, faces):
        return torch.nn.functional.normalize(faces.mean((1, 2)), dim=1)


def nobody(image):
    return []


@pytest.fixture(scope="module")
def starter():
    return starter_analyzer()


@pytest.fixture(scope="module")
def drawn():
    """A portrait [128, 128, 3] and its true landmarks as indices of pixels."""
    shown = portrait(1, 128, "test", style="photo")
    image = torch.from_numpy(shown.image).float() / 255
    return image, torch.from_numpy(shown.landmarks).float() - 0.5


def test_the_starter_finds_a_drawn_face_with_its_landmarks(starter, drawn):
    image, landmarks = drawn
    (face,) = starter.find(image)
    assert isinstance(face, FoundFace)
    x, y, width, height = face.box
    middle = landmarks.mean(0)
    assert x < middle[0] < x + width and y < middle[1] < y + height
    assert 0.4 <= face.score <= 1
    assert (face.landmarks - landmarks).abs().max() < 0.1 * width


def test_the_starter_knows_a_face_again_in_another_light(starter, drawn):
    image, landmarks = drawn
    first = starter.embed(image, [landmarks])
    second = starter.embed(image * 0.8 + 0.1, [landmarks])
    assert first.shape == (1, starter.embedding_size) == (1, 128)
    assert torch.allclose(first.norm(dim=1), torch.ones(1), atol=1e-5)
    assert float((first * second).sum()) > starter.thresholds.same


def test_an_engine_is_given_both_networks():
    given = []
    starter_analyzer(given.append)
    assert [type(model).__name__ for model in given] == ["FaceDetector", "FaceEmbedder"]


def test_each_face_of_a_picture_is_embedded_where_its_landmarks_lie():
    picture = torch.zeros(120, 240, 3)
    picture[:, :120, 0] = 1
    picture[:, 120:, 1] = 1
    analyzer = Analyzer("fake", "none", nobody, ByColour())
    left = torch.tensor(TEMPLATE) + torch.tensor([2.0, 4.0])
    vectors = analyzer.embed(picture, [left, left + torch.tensor([120.0, 0])])
    assert vectors.argmax(1).tolist() == [0, 1]


def test_no_faces_give_no_vectors():
    analyzer = Analyzer("fake", "none", nobody, ByColour())
    assert analyzer.embed(torch.zeros(9, 9, 3), []).shape == (0, 3)


def test_detection_alone_says_that_it_cannot_tell_people_apart():
    analyzer = Analyzer("haar", "none", nobody)
    assert analyzer.embedding_size is None and analyzer.thresholds is None
    with pytest.raises(ValueError, match="'haar' finds faces but cannot tell people apart"):
        analyzer.embed(torch.zeros(9, 9, 3), [torch.tensor(TEMPLATE)])


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"one picture \[H, W, 3\], not \[1, 9, 9, 3\]"):
        Analyzer("fake", "none", nobody).find(torch.zeros(1, 9, 9, 3))


@pytest.mark.slow
def test_the_starters_thresholds_part_drawn_people(starter):
    """Two portraits of each of eight people, the second painted: no two people count as one."""
    vectors = []
    for style in ("photo", "oil"):
        for person in range(8):
            index = portraits_of(person, 2)[style == "oil"]
            shown = portrait(index, 128, "validation", style=style)
            image = torch.from_numpy(shown.image).float() / 255
            landmarks = torch.from_numpy(shown.landmarks).float() - 0.5
            vectors.append(starter.embed(image, [landmarks])[0])
    photographs, paintings = torch.stack(vectors).chunk(2)
    cosines = photographs @ paintings.T
    same = cosines.diagonal()
    different = cosines[~torch.eye(8, dtype=torch.bool)]
    assert (same < starter.thresholds.different).float().mean() <= 0.25
    assert (different < starter.thresholds.same).all()
