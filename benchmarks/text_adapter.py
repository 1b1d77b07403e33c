"""The gain of the face-aware text adapter.

The same edits of held-out drawn people are made with and without the adapter, from the same noise.
On large faces `found` is the fraction of edits in which an independent classifier finds what the
prompt named. On small ones, in crops with wide surroundings, `background` is the mean absolute
difference of the raw edit and the original where the soft mask is 0. Both are given as means and as
the paired difference (with minus without) with its 95 % bootstrap interval.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from statistics import fmean

import numpy as np

from ..evaluation.attributes import judge_with, people_without, prompt_for
from ..evaluation.editing import load_edit
from ..evaluation.face_edit import interval
from ..evaluation.held_out import as_batch, as_pictures
from ..models.attribute_classifier import ATTRIBUTES, load_attribute_classifier
from ..models.face_parser import load_face_parser
from ..models.starter_files import starter_file
from ..world import scene
from ..world.portrait import Portrait
from ..world.scene import Scene

STRENGTHS = {"with": 0.3, "without": 0.0}
PEOPLE_PER_ATTRIBUTE = 12
SCENES = 48
SCENE_SIZE = 256
# The side of a face is then a quarter of its crop's.
SMALL_CONTEXT = 3.0


def run(quick: bool) -> dict[str, float]:
    """Measure all figures, by name."""
    edit = load_edit(load_face_parser(starter_file("face_parser")))
    people, scenes = (1, 3) if quick else (PEOPLE_PER_ATTRIBUTE, SCENES)
    return _large_faces(edit, people, quick) | _small_faces(edit, scenes)


def _large_faces(edit, people: int, quick: bool) -> dict[str, float]:
    judge = judge_with(load_attribute_classifier())
    found: dict[str, list[float]] = {name: [] for name in STRENGTHS}
    for name, attribute in list(ATTRIBUTES.items())[:: 3 if quick else 1]:
        print(f"{name}: {people} people", file=sys.stderr, flush=True)
        for person in people_without(attribute, people):
            prompt = prompt_for(person, attribute)
            for kind, strength in STRENGTHS.items():
                result = edit(person, prompt, (attribute.parts,), adapter_strength=strength)
                seen = judge(as_pictures(result.blended)[0], person.landmarks)
                found[kind].append(float(seen[name]))
    return {"edits": len(found["with"])} | _compared("found", found)


def _small_faces(edit, scenes: int) -> dict[str, float]:
    change: dict[str, list[float]] = {name: [] for name in STRENGTHS}
    fractions: dict[int, float] = {}
    for number, drawn in enumerate(small_faces(scenes), start=1):
        print(f"scene {number} of {scenes}", file=sys.stderr, flush=True)
        prompt = ATTRIBUTES["glasses"].words
        sitter = as_portrait(drawn)
        for kind, strength in STRENGTHS.items():
            options = {"adapter_strength": strength, "context": SMALL_CONTEXT}
            result = edit(sitter, f"a photo of a person with {prompt}", ("face",), **options)
            fractions[number] = float(result.mask.mean())
            outside = result.soft_mask == 0
            difference = (result.edited - as_batch([drawn.image])).abs().mean(dim=-1)
            change[kind].append(float(difference[outside].mean()))
    return {"scenes": scenes, "mask_share": fmean(fractions.values())} | _compared(
        "background", change
    )


def small_faces(wanted: int) -> Iterator[Scene]:
    """Yield the first held-out scenes that look like photographs and have only distant people."""
    for index in count():
        if wanted == 0:
            return
        drawn = scene(index, SCENE_SIZE, "test")
        widest = max((face.box[2] for face in drawn.faces), default=SCENE_SIZE)
        if drawn.style == "photo" and widest < SCENE_SIZE / 5:
            wanted -= 1
            yield drawn


def as_portrait(drawn: Scene) -> Portrait:
    """A scene as a portrait for an editor: its picture, and its first person for the noise."""
    first = drawn.faces[0]
    return Portrait(
        image=drawn.image,
        labels=drawn.labels,
        attributes={},
        captions=drawn.captions,
        identity_id=first.identity_id,
        box=first.box,
        landmarks=first.landmarks,
        style=drawn.style,
    )


def _compared(name: str, values: dict[str, list[float]]) -> dict[str, float]:
    """Means of both, and their paired difference with its interval."""
    delta, low, high = interval(list(np.subtract(values["with"], values["without"])))
    means = {f"{name}_{kind}": fmean(row) for kind, row in values.items()}
    return means | {
        f"{name}_delta": delta,
        f"{name}_delta_ci_low": low,
        f"{name}_delta_ci_high": high,
    }
