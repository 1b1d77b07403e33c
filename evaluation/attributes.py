"""Prompt following: whether an independent judge finds what a prompt names in the edited face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..models.attribute_classifier import ATTRIBUTES, Attribute, AttributeClassifier, align
from ..world.portrait import Portrait
from .editing import Editor
from .held_out import held_out

Judge = Callable[[np.ndarray, np.ndarray], dict[str, bool]]
"""judge(picture uint8 [H, W, 3], landmarks [5, 2]) -> which attributes it shows, by name."""


def judge_with(classifier: AttributeClassifier) -> Judge:
    """The trained classifier as a judge."""

    @torch.inference_mode()
    def judge(image: np.ndarray, landmarks: np.ndarray) -> dict[str, bool]:
        view = torch.from_numpy(align(image, landmarks)).float().movedim(-1, 0)[None] / 255
        return dict(zip(ATTRIBUTES, (classifier(view)[0] > 0).tolist(), strict=True))

    return judge


def prompt_attribute_rates(
    editor: Editor, judge: Judge, count: int, say: Callable[[str], None]
) -> dict[str, float]:
    """By attribute, the fraction of `count` edited people who show what the prompt named.

    Each person is a photograph-like portrait of a held-out person without the attribute.
    """
    rates = {}
    for name, attribute in ATTRIBUTES.items():
        say(f"prompts: {count} edits with {attribute.words}")
        people = people_without(attribute, count)
        found = 0
        for person in people:
            edited = editor(person, prompt_for(person, attribute), (attribute.parts,))
            found += judge(edited, person.landmarks)[name]
        rates[name] = found / count
    return rates


def prompt_for(person: Portrait, attribute: Attribute) -> str:
    """The prompt that asks for an attribute on a person."""
    return f"a photo of a {person.traits['sex']} with {attribute.words}"


def people_without(attribute: Attribute, count: int) -> list[Portrait]:
    """The first `count` held-out people who lack the attribute and can be given it."""
    people: list[Portrait] = []
    number = 0
    while len(people) < count:
        person = held_out([number], style="photo")[0]
        number += 1
        traits = person.traits
        if attribute.sex not in (None, traits["sex"]) or attribute.shown(traits):
            continue
        bare_head = traits["hair"] != "none" and traits["hat"] == "none"
        if attribute.parts == "face and hair" and not bare_head:
            continue  # hair can only be recoloured where it is visible
        people.append(person)
    return people
