"""Prompt following: is what a prompt names found in the edited face, by an independent judge?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..training.world.portrait import Portrait
from .attribute_classifier import ATTRIBUTES, Attribute, AttributeClassifier, align
from .editing import Editor
from .held_out import held_out

Judge = Callable[[np.ndarray, np.ndarray], dict[str, bool]]
"""A picture uint8 [H, W, 3] and its landmarks [5, 2] to what it shows, by attribute."""


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
    """By attribute, the share of `count` edited people who show what the prompt named.

    Each is a photograph-like portrait of a held-out person without the attribute.
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
    """The first `count` held-out people on whom the attribute can be tried."""
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
            continue  # hair can take a colour only where it is seen
        people.append(person)
    return people
