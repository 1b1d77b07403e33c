"""Faces in another tone than their neck, with captions that say so."""

import numpy as np
from visage.models.face_classes import CLASSES
from visage.training.starter.skin_tones import (
    captions_of_tone,
    named_tone,
    other_tones,
    repaint_skin,
)

CAPTIONS = [
    "a photo of a woman",
    "a photo of a woman with tan skin",
    "a man with tan skin and a hat",
]


def test_captions_of_another_tone_name_it_and_nothing_else_changes():
    assert named_tone(CAPTIONS) == "tan"
    assert captions_of_tone(CAPTIONS, "dark") == [
        "a photo of a woman with dark skin",
        "a man with dark skin and a hat",
    ]


def test_captions_that_name_no_tone_stay_out():
    assert named_tone(["a tan hat"]) is None
    assert captions_of_tone(["a tan hat"], "dark") == []


def test_the_face_gets_the_ratio_of_the_tones_and_everything_else_stays():
    view = np.full((96, 96, 3), 200, np.uint8)
    labels = np.full((96, 96), CLASSES.index("neck"), np.uint8)
    labels[20:60, 20:60] = CLASSES.index("skin")
    labels[45:55, 30:50] = CLASSES.index("upper_lip")
    darker = repaint_skin(view, labels, "fair", "dark")
    assert (darker[30, 40] == np.round(200 * np.array([92 / 240, 63 / 202, 51 / 178]))).all()
    assert (darker[30, 40] < darker[50, 40]).all() and (darker[50, 40] < 200).all()
    assert (darker[66:] == 200).all() and (darker[:, :12] == 200).all()


def test_no_face_is_made_so_bright_that_its_shine_is_lost():
    assert other_tones("dark") == ["brown"]
    assert other_tones("fair") == ["pale", "tan", "olive", "brown", "dark"]


def test_the_own_tone_changes_no_pixel():
    view = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    labels = np.full((32, 32), CLASSES.index("skin"), np.uint8)
    assert (repaint_skin(view, labels, "tan", "tan") == view).all()


def test_in_dim_light_a_face_gets_no_darker_than_its_features_allow():
    labels = np.full((32, 32), CLASSES.index("skin"), np.uint8)
    for light, least in ((200, 60), (90, 55), (50, 50)):
        darker = repaint_skin(np.full((32, 32, 3), light, np.uint8), labels, "fair", "dark")
        assert least <= darker.mean() < least + 12
