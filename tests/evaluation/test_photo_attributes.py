"""The judge of attributes on photographs: what it is told, and that it learns to tell."""

import numpy as np
import pytest
from visage.evaluation.photo_attributes import (
    ATTRIBUTES,
    five_points,
    judge_accuracy,
    judged_views,
    people_without,
    prompt_for,
    train_photo_judge,
)
from visage.evaluation.photo_edits import attribute_rates
from visage.training.starter.photographs import Photograph

PLAIN = {
    "gender": "m",
    "age": "young",
    "hair_colour": "brown",
    "hair_length": "short",
    "beard": "none",
    "glasses": "none",
    "smile": "none",
    "headwear": "none",
}
MESH = {468: (34, 40), 473: (62, 40), 1: (48, 52), 61: (38, 64), 291: (58, 64)}


def photograph(number, value=120, **labels):
    landmarks = np.zeros((1, 478, 2), np.float32)
    for point, place in MESH.items():
        landmarks[0, point] = place
    image = np.full((96, 96, 3), value, np.uint8)
    box = np.float32([[20, 20, 60, 60]])
    return Photograph(f"{number}.png", image, box, np.float32([1]), landmarks, PLAIN | labels)


def test_prompts_name_one_look_each():
    assert prompt_for(ATTRIBUTES["glasses"], PLAIN) == "a photo of a man with glasses"
    assert prompt_for(ATTRIBUTES["old"], PLAIN | {"gender": "u"}) == "a photo of an old person"
    assert not any("skin" in attribute.words for attribute in ATTRIBUTES.values())


def test_an_attribute_is_tried_on_those_who_lack_it_and_whose_labels_can_tell():
    people = [
        photograph(0, hair_colour="red"),
        photograph(1),
        photograph(2, hair_colour="hidden"),
        photograph(3, gender="w"),
        photograph(4),
    ]
    tried = people_without(ATTRIBUTES["red_hair"], people, 5)
    assert [p.file for p in tried] == ["1.png", "3.png", "4.png"]
    assert [p.file for p in people_without(ATTRIBUTES["beard"], people, 2)] == ["0.png", "1.png"]


def test_points_are_those_of_the_mesh_and_none_where_there_is_none():
    assert five_points(photograph(0)).tolist() == [list(place) for place in MESH.values()]
    bare = Photograph(
        "a", np.zeros((8, 8, 3), np.uint8), *(np.zeros((0, 4)),) * 2, np.zeros((0, 478, 2)), PLAIN
    )
    assert five_points(bare) is None
    views, shown, known = judged_views([photograph(0, glasses="sun"), bare])
    assert views.shape == (1, 96, 96, 3)
    assert dict(zip(ATTRIBUTES, shown[0].tolist(), strict=True))["glasses"]
    assert known.shape == shown.shape == (1, len(ATTRIBUTES))


@pytest.fixture(scope="module")
def judge():
    people = [
        photograph(n, 40 if n % 2 else 220, smile="open" if n % 2 else "none") for n in range(8)
    ]
    return train_photo_judge(people, steps=40)


def test_the_judge_learns_what_labels_say(judge):
    people = [photograph(0, 40, smile="open"), photograph(1, 220)]
    assert judge_accuracy(judge, people)["smile"] == 1
    assert np.isnan(judge_accuracy(judge, people)["hat"])


def test_rates_count_what_the_judge_finds_in_the_edit(judge):
    asked = []

    def darken(image, prompt, seed, parts):
        asked.append((prompt, parts))
        return np.full_like(image, 40), np.ones(image.shape[:2])

    rates = attribute_rates(darken, judge, [photograph(0, 220), photograph(1, 220)], 2)
    assert rates["smile"] == (2, 2)
    assert ("a photo of a man with a smile", ("face",)) in asked
    assert ("a photo of a man with a hat", ("face and hair",)) in asked
