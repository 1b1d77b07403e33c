"""Label maps of photographs: landmarks first, then what a teacher is sure of."""

from __future__ import annotations

import numpy as np
import pytest
from visage.models.face_classes import CLASSES, class_index
from visage.training.starter.photo_labels import (
    ANY_FACE,
    IGNORE,
    NOT_FACE,
    POLYGONS,
    allowed,
    face_map,
    is_plausible,
    pseudo_map,
    with_fringe,
)
from visage.training.starter.photographs import LANDMARKS, Photograph

SIZE = 128


def ring(x, y, rx, ry, count):
    """Points around an ellipse, from the top, clockwise."""
    angles = np.arange(count) / count * 2 * np.pi
    return np.stack([x + rx * np.sin(angles), y - ry * np.cos(angles)], 1)


SHAPES = {
    "skin": (64, 64, 28, 36),
    "nose": (64, 68, 5, 8),
    "left_brow": (52, 48, 7, 2),
    "right_brow": (76, 48, 7, 2),
    "left_eye": (52, 55, 6, 3),
    "right_eye": (76, 55, 6, 3),
    "mouth": (64, 84, 8, 2),
}


@pytest.fixture
def photograph():
    """A face whose landmarks lie on ellipses, over a picture of two colours."""
    points = np.full((LANDMARKS, 2), (64, 64), np.float32)
    for name, indices in POLYGONS:
        if name in SHAPES:
            numbers = [int(index) for index in indices.split()]
            points[numbers] = ring(*SHAPES[name], len(numbers))
    outer = "0 267 269 270 409 291 375 321 405 314 17 84 181 91 146 61 185 40 39 37"
    points[[int(index) for index in outer.split()]] = ring(64, 84, 12, 5, 20)
    # The oval's list begins at the top; its lowest point is the chin.
    points[10], points[152] = (64, 28), (64, 100)
    image = np.full((SIZE, SIZE, 3), 40, np.uint8)
    image[20:, 20:108] = 200
    box = np.array([[34, 34, 60, 60]], np.float32)
    return Photograph("a.jpg", image, box, np.float32([0.9]), points[None], {})


def test_the_parts_lie_where_the_landmarks_are_and_nothing_else_is_a_face(photograph):
    labels = face_map(photograph)
    for name, (x, y, _, _) in SHAPES.items():
        if name != "skin":
            assert labels[y, x] == class_index(name), name
    assert labels[75, 45] == class_index("skin")
    assert labels[110, 64] == NOT_FACE and labels[70, 10] == NOT_FACE
    # The forehead may reach beyond the oval.
    assert labels[24, 64] == IGNORE


def test_behind_glasses_the_landmarks_say_only_that_there_is_a_face(photograph):
    glasses = Photograph(**{**vars(photograph), "labels": {"glasses": "clear"}})
    assert face_map(glasses)[55, 52] == ANY_FACE
    assert face_map(glasses)[84, 64] == class_index("mouth")


def test_a_doubtful_face_teaches_nothing(photograph):
    doubtful = Photograph(**{**vars(photograph), "scores": np.float32([0.5])})
    assert not is_plausible(doubtful, 0)
    assert face_map(doubtful)[64, 64] == IGNORE
    elsewhere = Photograph(**{**vars(photograph), "boxes": np.float32([[90, 90, 30, 30]])})
    assert not is_plausible(elsewhere, 0)


def test_the_labels_rule_out_hats_hair_and_glasses():
    p = np.full((len(CLASSES), 2, 2), 0.01, np.float32)
    p[class_index("hat")] = 0.82
    hatless = allowed(p, {"headwear": "none"})
    assert hatless[class_index("hat")].max() == 0
    assert hatless[class_index("hair")].min() == pytest.approx(0.83)
    assert (allowed(p, {})[class_index("hat")] == p[class_index("hat")] / p.sum(0)).all()
    assert allowed(p, {"hair_colour": "bald"})[class_index("hair")].max() == 0


def test_a_sure_teacher_that_agrees_with_the_colours_is_believed_outside_the_face(photograph):
    told = np.zeros((len(CLASSES), 256, 256), np.float32)
    told[class_index("background")] = 1
    told[:, 40:, 40:216] = 0
    told[class_index("clothes"), 40:, 40:216] = 1
    # Inside the oval the teacher has no say.
    labels = pseudo_map(photograph, told)
    assert labels[5, 5] == class_index("background")
    assert labels[120, 64] == class_index("clothes")
    assert labels[84, 64] == class_index("mouth")
    unsure = pseudo_map(photograph, told * 0 + 1 / len(CLASSES))
    assert unsure[120, 64] == NOT_FACE


def test_a_fringe_over_the_forehead_is_hair_by_its_colour():
    hair, skin = class_index("hair"), class_index("skin")
    rng = np.random.default_rng(0)
    labels = np.full((96, 96), skin, np.uint8)
    labels[:24] = hair
    forehead = np.zeros((96, 96), bool)
    forehead[24:48] = True
    image = np.full((96, 96, 3), (210, 160, 130), np.uint8)
    # The hair hangs over half of the forehead.
    image[:24] = image[24:48, :48] = (60, 40, 30)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    found = with_fringe(image, labels, forehead)
    assert (found[28:44, 4:44] == hair).mean() > 0.95
    assert (found[28:44, 52:92] == skin).mean() > 0.95
    assert (found[~forehead] == labels[~forehead]).all()
    # Without hair that is known there is nothing to compare with.
    assert (with_fringe(image[24:], labels[24:], forehead[24:]) == labels[24:]).all()


def test_a_forehead_above_the_oval_that_the_teacher_took_for_hair_is_skin_by_its_colour(photograph):
    hair = class_index("hair")
    # Hair down to row 4, then a forehead of the face's colour; the oval begins at row 28.
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[:5] = 40
    image = np.clip(image + np.random.default_rng(0).normal(0, 5, image.shape), 0, 255)
    told = np.zeros((len(CLASSES), 256, 256), np.float32)
    told[hair, :80] = 1
    told[class_index("background"), 80:] = 1
    shown = Photograph(**{**vars(photograph), "image": image.astype(np.uint8)})
    labels = pseudo_map(shown, told)
    assert (labels[24:28, 60:68] == class_index("skin")).all()
    assert (labels[:3, 10:118] == hair).mean() > 0.9
