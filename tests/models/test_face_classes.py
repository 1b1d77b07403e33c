from __future__ import annotations

import pytest
from visage.models.face_classes import CHOICES, CLASSES, COLOURS, PRESETS, expand_parts


def test_the_order_is_that_of_the_public_bisenet_checkpoints():
    assert len(CLASSES) == 19
    assert [CLASSES.index(name) for name in ("skin", "glasses", "nose", "hair", "hat")] == [
        1,
        6,
        10,
        17,
        18,
    ]


def test_every_class_has_a_colour_of_its_own():
    assert list(COLOURS) == list(CLASSES)
    assert len(set(COLOURS.values())) == len(CLASSES)


def test_presets_and_single_parts_are_joined():
    assert expand_parts(["eyes", "nose", "left_eye"]) == {"left_eye", "right_eye", "nose"}
    assert expand_parts(["face and hair"]) == expand_parts(["face"]) | {"hair"}
    assert all(set(parts) <= set(CLASSES) for parts in PRESETS.values())


def test_every_single_part_can_be_chosen_by_itself():
    alone = {parts for choice in CHOICES if len(parts := expand_parts([choice])) == 1}
    assert alone == {frozenset([part]) for part in CLASSES[1:]}
    assert len(CHOICES) == len(set(CHOICES))


@pytest.mark.parametrize(("names", "message"), [(["face", "chin"], "'chin'"), ([], "No face part")])
def test_an_unknown_or_empty_choice_lists_the_known_parts(names, message):
    with pytest.raises(ValueError, match=message) as caught:
        expand_parts(names)
    assert "face and hair" in str(caught.value)
    assert "lower_lip" in str(caught.value)
