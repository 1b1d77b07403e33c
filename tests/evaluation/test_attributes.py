"""Prompt following: who is edited, what is asked, and what counts as followed."""

import numpy as np
from visage.evaluation.attributes import judge_with, prompt_attribute_rates
from visage.evaluation.held_out import held_out
from visage.models.attribute_classifier import (
    ATTRIBUTES,
    align,
    load_attribute_classifier,
)


def test_each_attribute_is_asked_of_people_who_lack_it_and_only_it_counts():
    asked = []

    def edit(person, prompt, parts):
        asked.append((person.traits, prompt, parts))
        return person.image

    def judge(image, landmarks):
        return {name: name == "smile" for name in ATTRIBUTES}

    rates = prompt_attribute_rates(edit, judge, 2, lambda _: None)
    assert rates == {name: float(name == "smile") for name in ATTRIBUTES}
    for number, (traits, prompt, parts) in enumerate(asked):
        attribute = list(ATTRIBUTES.values())[number // 2]
        assert prompt == f"a photo of a {traits['sex']} with {attribute.words}"
        assert parts == (attribute.parts,)
        assert not attribute.shown(traits)
        if attribute.words.endswith("hair"):
            assert traits["hair"] != "none"
            assert traits["hat"] == "none"
        if attribute.words == "a beard":
            assert traits["sex"] == "man"


def test_the_judge_sees_what_unseen_people_show():
    judge = judge_with(load_attribute_classifier())
    right = {name: [] for name in ATTRIBUTES}
    for person in held_out(range(24), style="photo"):
        found = judge(person.image, person.landmarks)
        for name, attribute in ATTRIBUTES.items():
            right[name].append(found[name] == attribute.shown(person.traits))
    assert np.mean(list(right.values())) > 0.9
    assert min(np.mean(values) for values in right.values()) > 0.7


def test_the_judge_sees_every_face_upright():
    person = held_out([3], style="photo")[0]
    turned = np.ascontiguousarray(np.rot90(person.image))
    landmarks = np.stack([person.landmarks[:, 1], 127 - person.landmarks[:, 0]], axis=1)
    straight = align(person.image, person.landmarks).astype(float)
    assert np.abs(align(turned, landmarks) - straight).mean() < 3
