import pytest
from visage.techniques.face_prompts import read_face_prompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("a woman, smiling", {None: "a woman, smiling"}),
        ("", {None: ""}),
        ("0: with a beard | 2: smiling", {0: "with a beard", 2: "smiling"}),
        ("1:old\n|  0 : red hair: long ", {1: "old", 0: "red hair: long"}),
        # Not every part has a number: these bars are part of one prompt.
        ("0: with a beard | smiling", {None: "0: with a beard | smiling"}),
        ("a portrait, 35 mm: f 1.4", {None: "a portrait, 35 mm: f 1.4"}),
    ],
)
def test_numbers_name_faces_and_other_texts_are_for_all(text, prompts):
    assert read_face_prompts(text) == prompts


def test_a_face_with_two_prompts_or_none_is_refused():
    with pytest.raises(ValueError, match="Face 1 has two prompts"):
        read_face_prompts("1: old | 1: young")
    with pytest.raises(ValueError, match="Face 0 has no prompt"):
        read_face_prompts("0: | 1: young")
