"""Portraits: always the same, splits apart, and facts that agree with the pixels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from visage.models.face_classes import CLASSES
from visage.world import STYLES, portrait, render, sample_circumstance, sample_person
from visage.world.labels import ATTRIBUTES, LABEL
from visage.world.portrait import person_of

# Portraits are drawn, at sizes up to 512 px.
pytestmark = pytest.mark.slow

SIZE = 64


@pytest.fixture(scope="module")
def portraits():
    return [portrait(index, SIZE) for index in range(64)]


def pixels(drawn, *names: str) -> int:
    return int(np.isin(drawn.labels, [LABEL[name] for name in names]).sum())


def test_a_portrait_is_always_the_same_picture():
    first, second = portrait(11, SIZE), portrait(11, SIZE)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert first.captions == second.captions
    assert not np.array_equal(first.image, portrait(12, SIZE).image)


def test_people_repeat_within_a_split_and_never_across_splits():
    people = {split: {person_of(i, split) for i in range(3000)} for split in ("train", "test")}
    assert len(people["train"]) == 3 * 128
    assert people["train"].isdisjoint(people["test"])
    assert sum(person_of(i, "train") == person_of(5, "train") for i in range(1024)) == 8
    assert not np.array_equal(portrait(3, SIZE).image, portrait(3, SIZE, "test").image)


def test_the_same_person_keeps_the_same_parameters():
    assert sample_person(42) == sample_person(42)
    assert sample_person(42) != sample_person(43)


@pytest.mark.parametrize("size", [16, 32, 50, 112, 256, 512])
def test_every_size_holds_a_whole_face(size):
    drawn = portrait(6, size)
    assert drawn.image.shape == (size, size, 3) and drawn.image.dtype == np.uint8
    assert drawn.labels.shape == (size, size) and drawn.labels.dtype == np.uint8
    x, y, w, h = drawn.box
    assert 0 <= x and x + w <= size and 0 <= y and y + h <= size
    assert 0.3 < h / size < 0.95


def test_boxes_and_landmarks_scale_with_the_picture():
    small, large = portrait(6, 64), portrait(6, 256)
    assert np.allclose(small.landmarks * 4, large.landmarks, atol=1.0)
    assert np.allclose(np.array(small.box) * 4, large.box, atol=8)


def test_every_class_occurs(portraits):
    seen = set(np.unique(np.concatenate([p.labels.ravel() for p in portraits])).tolist())
    assert [name for name in CLASSES if LABEL[name] not in seen] == []


def test_parts_lie_where_the_landmarks_say(portraits):
    for drawn in portraits:
        rows, columns = np.nonzero(drawn.labels == LABEL["nose"])
        assert np.hypot(
            columns.mean() - drawn.landmarks[2, 0], rows.mean() - drawn.landmarks[2, 1]
        ) < (0.12 * SIZE)
        for name, landmark in (("left_eye", 0), ("right_eye", 1)):
            rows, columns = np.nonzero(drawn.labels == LABEL[name])
            if len(rows) > 4:
                assert abs(columns.mean() + 0.5 - drawn.landmarks[landmark, 0]) < 0.05 * SIZE
                assert abs(rows.mean() + 0.5 - drawn.landmarks[landmark, 1]) < 0.05 * SIZE


def test_left_is_the_viewers_left():
    person = sample_person(1)
    now = sample_circumstance(5, person)
    labels = render(person, now, 128).labels
    left = np.nonzero(labels == LABEL["left_brow"])[1].mean()
    assert left < np.nonzero(labels == LABEL["right_brow"])[1].mean()


@pytest.mark.parametrize(
    ("attribute", "part"),
    [
        ("Eyeglasses", "glasses"),
        ("Wearing_Hat", "hat"),
        ("Wearing_Earrings", "earring"),
        ("Wearing_Necklace", "necklace"),
    ],
)
def test_what_is_worn_is_seen(portraits, attribute, part):
    for drawn in portraits:
        assert drawn.attributes[attribute] == (pixels(drawn, part) >= 2)


def test_bald_heads_have_no_hair_and_open_mouths_an_inside(portraits):
    for drawn in portraits:
        if drawn.attributes["Bald"]:
            assert pixels(drawn, "hair") == 0
        if pixels(drawn, "mouth"):
            assert drawn.attributes["Mouth_Slightly_Open"]


def test_attributes_are_the_forty_of_celeba_and_vary(portraits):
    assert len(ATTRIBUTES) == 40
    assert all(list(drawn.attributes) == list(ATTRIBUTES) for drawn in portraits)
    for name in ("Male", "Smiling", "Eyeglasses", "Young", "Black_Hair", "Wearing_Lipstick"):
        assert 0 < sum(drawn.attributes[name] for drawn in portraits) < len(portraits)


def test_captions_tell_the_truth(portraits):
    for drawn in portraits:
        assert len(drawn.captions) == 10
        for caption in drawn.captions:
            words = caption.replace(",", "").split()
            assert ("woman" in words) <= (not drawn.attributes["Male"])
            assert ("beard" in words) <= (drawn.traits["facial_hair"] == "beard")
            assert ("sunglasses" in words) <= (drawn.traits["glasses"] == "sunglasses")
            assert 2 <= len(words) <= 40
    named = " ".join(caption for drawn in portraits for caption in drawn.captions)
    for word in ("smiling", "hair", "glasses", "hat", "lipstick", "beard", "young", "painting"):
        assert word in named


@pytest.mark.parametrize("style", STYLES)
def test_a_style_changes_the_picture_and_not_the_truth(style):
    photo, painted = portrait(9, SIZE, style="photo"), portrait(9, SIZE, style=style)
    assert np.array_equal(photo.labels, painted.labels)
    assert painted.style == style
    assert np.array_equal(photo.image, painted.image) == (style == "photo")


def test_a_change_of_hair_colour_leaves_the_rest_alone():
    person = sample_person(4)
    now = replace(sample_circumstance(4, person), hair_style="bob", hat="none", hair_colour="black")
    dark, light = render(person, now, 96), render(person, replace(now, hair_colour="blond"), 96)
    changed = np.abs(dark.image.astype(int) - light.image).max(2) > 24
    hair = (dark.labels == LABEL["hair"]).astype(np.uint8)
    near_hair = cv2.dilate(hair, np.ones((5, 5), np.uint8)) > 0
    assert np.array_equal(dark.labels, light.labels)
    assert not (changed & ~near_hair).any()
    assert changed[hair == 1].mean() > 0.8


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="style"):
        portrait(0, SIZE, style="cubist")
    with pytest.raises(ValueError, match="split"):
        portrait(0, SIZE, split="training")
    with pytest.raises(ValueError, match="16 to 2048"):
        portrait(0, 8)
    person = sample_person(0)
    outside = replace(sample_circumstance(0, person), centre=(3.0, 0.5))
    with pytest.raises(ValueError, match="outside"):
        render(person, outside, SIZE)
