"""Words of a prompt that a mask leaves out."""

import pytest
from visage.models.face_classes import expand_parts
from visage.techniques.prompt_parts import _NEEDS, left_out


@pytest.mark.parametrize(
    ("prompt", "parts", "missing"),
    [
        ("a woman with red hair", ["face"], "hair"),
        ("A blond-haired man", ["face"], "hair"),
        ("a bald man", ["face"], "hair"),
        ("a man with a beard", ["eyes"], "skin"),
        ("a man with facial hair", ["lips"], "skin"),
        ("a woman in a hat", ["face"], "hair, hat"),
        ("a woman in a hat", ["face and hair"], "hat"),
        ("an elf with pointed ears", ["face and hair"], "left ear, right ear"),
        ("a woman with gold earrings", ["face", "left_ear", "right_ear"], "earring"),
    ],
)
def test_what_the_mask_leaves_out_is_named(prompt, parts, missing):
    assert f"the mask leaves out {missing}: choose" in left_out(prompt, parts)


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a woman with red hair", ["face and hair"]),
        ("a man with a beard", ["face"]),
        ("a man with facial hair", ["face"]),
        ("a chair, what a year, that", ["face"]),
        ("", ["face"]),
    ],
)
def test_nothing_is_left_out(prompt, parts):
    assert left_out(prompt, parts) is None


@pytest.mark.parametrize("need", _NEEDS)
def test_what_it_advises_helps(need):
    assert need.classes <= expand_parts(need.choose.split(", "))
