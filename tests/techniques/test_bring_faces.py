"""People of a picture brought into others: who is brought where, and what is refused."""

import pytest
import torch
from visage.models.face_analyzer import FoundFace
from visage.models.inswapper import DIMENSIONS
from visage.techniques import bring_faces as module
from visage.techniques.bring_faces import PERSONS, bring_faces

FACE = torch.tensor([[-16.0, -16.0], [16.0, -16.0], [0.0, 0.0], [-12.0, 17.0], [12.0, 17.0]])
LEFT, RIGHT = (50, 60), (150, 60)


class Finder:
    """Finds a face at every place, turned where its landmarks say so."""

    name, embedding_size = "finder", None

    def __init__(self, *places, landmarks=FACE, embedding_size=None):
        self.places, self.landmarks, self.embedding_size = places, landmarks, embedding_size

    def find(self, image):
        return [
            FoundFace((x - 35, y - 35, 70, 70), 1.0, self.landmarks + torch.tensor([x, y]))
            for x, y in self.places
        ]

    def embed(self, image, faces):
        return torch.ones(len(faces), self.embedding_size)


class ByPicture(Finder):
    """Finds other faces in the reference, which is the brighter picture."""

    def __init__(self, here, there):
        self.here, self.there, self.landmarks = here, there, FACE

    def find(self, image):
        self.places = self.there if image.mean() > 0.6 else self.here
        return super().find(image)


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    """A parser that calls a disc around each face its own, but for a hand in front of the left."""

    def mask(marked, face):
        x, y = face.landmarks.mean(0)
        rows, columns = torch.meshgrid(*map(torch.arange, marked[0]), indexing="ij")
        disc = ((columns - x) ** 2 + (rows - y) ** 2 < 40**2).float()
        disc[60:, :50] *= 0  # the hand
        return disc

    monkeypatch.setattr(module, "_marked", lambda picture, _, parts: (picture.shape[:2], parts))
    monkeypatch.setattr(module, "_mask_at", mask)


@pytest.fixture
def glasses(monkeypatch):
    """A parser that sees a bar of glasses over the eyes of every face."""

    def mask(marked, face):
        size, parts = marked
        x, y = face.landmarks.mean(0)
        rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
        disc = (columns - x) ** 2 + (rows - y) ** 2 < 40**2
        bar = disc & ((rows - y + 16).abs() < 6)
        return (disc if "glasses" in parts else disc & ~bar).float()

    monkeypatch.setattr(module, "_mask_at", mask)


def pictures(grays=(0.3,), size=(120, 200), channels=3):
    return torch.stack([torch.full((*size, channels), gray) for gray in grays])


def two_people():
    """Red on the left, blue on the right."""
    reference = pictures((0.8,))
    reference[..., :100, 1:] = 0.7
    reference[..., 100:, :2] = 0.7
    return reference


def test_a_picture_without_a_face_stays_as_it_is_or_is_refused():
    finder, image = ByPicture([], [LEFT]), pictures()
    brought = bring_faces(image, pictures((0.8,)), finder, None)
    assert torch.equal(brought.images, image)
    assert brought.report == ["picture 0: no face, left as it is"]
    with pytest.raises(ValueError, match="finds no face with landmarks in picture 0"):
        bring_faces(image, pictures((0.8,)), finder, None, no_face="error")


def test_a_reference_without_a_face_is_refused():
    with pytest.raises(ValueError, match="no face with landmarks in the reference.*larger"):
        bring_faces(pictures(), pictures((0.8,)), ByPicture([LEFT], []), None)


def test_each_person_comes_back_to_their_own_place():
    brought = bring_faces(
        pictures(), two_people(), Finder(LEFT, RIGHT), None, light=0, who=PERSONS[1]
    ).images[0]
    assert brought[50, 60, 0] > brought[50, 60, 2]
    assert brought[50, 150, 2] > brought[50, 150, 0]


def test_who_is_not_in_the_reference_stays():
    brought = bring_faces(
        pictures(), two_people(), ByPicture([LEFT, RIGHT], [LEFT]), None, who=PERSONS[1]
    )
    assert "nobody in the same place" in brought.report[0]
    assert torch.equal(brought.images[0, :, 100:], pictures()[0, :, 100:])


def test_two_overlapping_people_keep_all_outside_their_faces_and_the_hand():
    near = (100, 60)
    brought = bring_faces(pictures(), two_people(), Finder(LEFT, near), None)
    outside = brought.mattes[0] == 0
    assert torch.equal(brought.images[0][outside], pictures()[0][outside])
    assert outside[70, 40]  # the hand before the left face


def test_glasses_stay_before_the_face_that_comes(glasses):
    image = pictures()
    image[:, 42:48] = 0.05  # dark glasses at the height of the eyes
    brought = bring_faces(image, pictures((0.8,)), Finder((100, 60)), None)
    assert torch.equal(brought.images[0, 43:47], image[0, 43:47])
    assert not torch.equal(brought.images[0, 70], image[0, 70])


def test_a_profile_is_refused_by_its_angle():
    profile = FACE * torch.tensor([0.3, 1.0]) + torch.tensor(
        [[0, 0], [0, 0], [12, 0], [0, 0], [0, 0]]
    )

    class Turned(ByPicture):
        def find(self, image):
            self.landmarks = profile if image.mean() > 0.6 else FACE
            return super().find(image)

    with pytest.raises(
        ValueError, match="degrees sideways.*Choose a reference that looks the same"
    ):
        bring_faces(pictures(), pictures((0.8,)), Turned([LEFT], [LEFT]), None)


def test_a_gray_reference_of_another_size_gives_a_face_in_the_pictures_colours():
    image = pictures()
    image[..., 0] = 0.5
    reference = pictures((0.8,), (240, 300), channels=1)
    brought = bring_faces(image, reference, Finder(LEFT), None).images
    assert brought.shape == image.shape
    assert brought[0, 50, 60, 0] > brought[0, 50, 60, 1] + 0.05


def test_a_swapper_wants_arcface_and_says_what_it_got():
    class Swapper:
        name = "inswapper_128.onnx"

    with pytest.raises(ValueError, match="needs the person.*finder gives 128.*buffalo_l"):
        bring_faces(
            pictures(), pictures((0.8,)), Finder(LEFT, embedding_size=128), None, swapper=Swapper()
        )


def test_a_swappers_face_is_placed_and_blended():
    class Swapper:
        name = "inswapper_128.onnx"

        def swap(self, face, person):
            assert person.shape == (DIMENSIONS,)
            return torch.zeros_like(face) + torch.tensor([0.1, 0.2, 0.9])

    brought = bring_faces(
        pictures(),
        pictures((0.8,)),
        Finder(LEFT, embedding_size=DIMENSIONS),
        None,
        light=0,
        swapper=Swapper(),
    )
    assert torch.allclose(brought.images[0, 50, 60], torch.tensor([0.1, 0.2, 0.9]), atol=0.05)
    assert torch.equal(brought.images[0, :, 100:], pictures()[0, :, 100:])
