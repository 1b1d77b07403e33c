"""A mask from words."""

import pytest
import torch
from visage.models.face_classes import CLASSES
from visage.techniques.prompt_mask import (
    mask_of_parts,
    mask_of_segments,
    mask_of_words,
    named_parts,
    weighed,
    weighted_phrases,
)


class FakeNetwork:
    """Finds a disc with a hole, a smaller and paler one beside it, and a speck."""

    def probabilities(self, image, phrases):
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
        big = ((y - 30) ** 2 + (x - 30) ** 2).sqrt()
        small = ((y - 30) ** 2 + (x - 75) ** 2).sqrt()
        plane = 0.9 * ((big < 20) & (big > 3)).float() + 0.5 * (small < 8).float()
        plane[5, 90] = 0.9
        return plane.expand(len(image), len(phrases), -1, -1)


@pytest.fixture
def picture():
    return torch.rand(1, 64, 96, 3)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("hair", ["hair"]),
        ("The hat, her lips and a sandcastle.", ["hat", "lips", "sandcastle"]),
        ("the sea surface; the ship", ["sea surface", "ship"]),
    ],
)
def test_things_are_told_apart(text, phrases):
    assert list(weighted_phrases(text)) == phrases


def test_no_words_are_refused():
    with pytest.raises(ValueError, match="Name what to mask"):
        weighted_phrases(" , ")


@pytest.mark.parametrize(
    ("phrase", "parts"),
    [
        ("hair", ("hair",)),
        ("hats", ("hat",)),
        ("left eye", ("left_eye",)),
        ("eyebrows", ("left_brow", "right_brow")),
        ("glasses", ("glasses",)),
        ("ship", None),
    ],
)
def test_words_of_the_face_parser(phrase, parts):
    assert named_parts(phrase) == parts


def test_good_segments_are_joined_and_their_holes_filled(picture):
    result = mask_of_words(picture, ["disc"], FakeNetwork(), threshold=0.5)
    (candidates,) = result.candidates
    assert [round(c.score, 1) for c in candidates if c.good] == [0.9, 0.5]
    assert len(candidates) == 2, "the speck is no candidate"
    assert result.mask[0, 30, 30] == 1, "the hole is filled"
    assert result.mask[0, 30, 75] == 1
    assert result.mask[0, 5, 90] == 0


def test_poor_segments_are_shown_and_left_out(picture):
    class Paler(FakeNetwork):
        def probabilities(self, image, phrases):
            plane = super().probabilities(image, phrases).clone()
            plane[..., 60:] *= 0.4
            plane[..., 5, 90] = 0
            return plane

    result = mask_of_words(picture, ["disc"], Paler(), threshold=0.1)
    assert [c.good for c in result.candidates[0]] == [True, False]
    assert result.mask[0, 30, 75] == 0
    assert result.overlay.shape[-1] == 3


def test_a_batch_keeps_its_pictures_apart():
    result = mask_of_words(torch.rand(3, 64, 96, 3), ["disc", "ring"], FakeNetwork())
    assert result.mask.shape == (3, 64, 96)
    assert [len(candidates) for candidates in result.candidates] == [4, 4, 4]


@pytest.fixture
def face_masks(monkeypatch):
    """Stands for the search for faces: chosen parts fill the left half, at 0.8, and persons the
    left three quarters.
    """
    from types import SimpleNamespace

    from visage.techniques import prompt_mask

    asked = []

    def face_mask(image, parser, parts, soft):
        asked.append(set(parts))
        mask = torch.zeros(image.shape[:3])
        mask[:, :, : image.shape[2] // 2] = 0.8
        return SimpleNamespace(mask=mask)

    def person_mask(image, parser):
        asked.append("persons")
        mask = torch.zeros(image.shape[:3])
        mask[:, :, : image.shape[2] * 3 // 4] = 1
        return SimpleNamespace(mask=mask)

    monkeypatch.setattr(prompt_mask, "face_mask", face_mask)
    monkeypatch.setattr(prompt_mask, "person_mask", person_mask)
    return asked


def test_parts_of_a_face_come_from_the_parser(picture, face_masks):
    result = mask_of_parts(picture, ["lips", "background"], parser=None)
    assert face_masks[0] == {"upper_lip", "lower_lip"}
    lips, behind = result.candidates[0]
    assert lips.score == pytest.approx(0.8)
    assert lips.mask[:, :48].all()
    assert not lips.mask[:, 48:].any()
    assert behind.mask[:, 72:].all()
    assert not behind.mask[:, :72].any()
    assert not result.mask[:, :, 48:72].any()


def test_person_and_clothes_reach_as_far_as_the_body(picture, face_masks):
    person, clothes = mask_of_parts(picture, ["person", "clothes"], parser=None).candidates[0]
    assert person.mask[:, :72].all()
    assert not person.mask[:, 72:].any()
    assert clothes.mask[:, 48:72].all()
    assert not clothes.mask[:, :48].any()
    assert face_masks == ["persons", set(CLASSES) - {"background", "clothes"}]


def test_other_words_are_not_for_the_parser(picture):
    with pytest.raises(ValueError, match="'ship'.*hair"):
        mask_of_parts(picture, ["ship"], parser=None)


class FakeSegments:
    """Two halves of a red bar, a blue disc, the square around it, and a speck."""

    def segments(self, image):
        planes = torch.zeros(5, 64, 96, dtype=torch.bool)
        planes[0, 10:20, 10:30] = planes[1, 10:20, 30:50] = True
        y, x = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
        planes[2] = (y - 45) ** 2 + (x - 70) ** 2 < 100
        planes[3, 34:57, 59:82] = True
        planes[4, 0, 0] = True
        return planes


class FakeClip:
    """Knows how red and how blue a picture is, white aside."""

    def similarity(self, image, phrases):
        channel = {"red thing": 0, "blue thing": 2}
        shown = image.flatten(1, 2)
        colour = (shown - shown.amin(2, keepdim=True)).mean(1)
        return torch.stack([20 * colour[:, channel[phrase]] for phrase in phrases], 1)


def coloured():
    picture = torch.full((1, 64, 96, 3), 0.5)
    picture[:, 10:20, 10:50] = torch.tensor([1.0, 0, 0])
    picture[:, FakeSegments().segments(picture)[2]] = torch.tensor([0, 0, 1.0])
    return picture


def test_one_thing_in_two_segments_is_joined():
    result = mask_of_segments(coloured(), ["red thing"], FakeSegments(), FakeClip())
    good = [c for c in result.candidates[0] if c.good]
    assert len(good) == 2
    assert torch.equal(result.mask[0] > 0, (coloured()[0, ..., 0] == 1))


def test_of_nested_segments_the_cut_out_decides():
    """The box around disc and square is the same picture; only the disc alone is all blue."""
    result = mask_of_segments(coloured(), ["blue thing"], FakeSegments(), FakeClip())
    (good,) = (c for c in result.candidates[0] if c.good)
    assert torch.equal(good.mask > 0, FakeSegments().segments(None)[2])


def test_a_picture_without_segments_gives_an_empty_mask():
    class Nothing:
        def segments(self, image):
            return torch.zeros(0, 64, 96, dtype=torch.bool)

    result = mask_of_segments(coloured(), ["red thing"], Nothing(), FakeClip())
    assert not result.mask.any()
    assert result.candidates == [[]]


def test_words_have_weights():
    assert weighted_phrases("the jacket:1.0, scarf: 0.5. hat and a bag:.25") == {
        "jacket": 1.0,
        "scarf": 0.5,
        "hat": 1.0,
        "bag": 0.25,
    }


@pytest.mark.parametrize("text", ["scarf:half", "scarf:2", ":0.5", "scarf:-1", "scarf:0.5:1"])
def test_a_weight_of_another_form_is_named(text):
    with pytest.raises(ValueError, match="weight in 0 to 1, such as 'scarf:0.5'"):
        weighted_phrases(text)


def test_each_candidate_has_the_weight_of_its_words(picture):
    """Both words find the same disc: the larger weight counts, and nothing else changes."""
    found = mask_of_words(picture, ["jacket", "scarf"], FakeNetwork())
    assert weighed(found, {"jacket": 0.25, "scarf": 0.5}).mask.unique().tolist() == [0, 0.5]
    assert torch.equal(weighed(found, {}).mask, found.mask)
    assert weighed(found, {"jacket": 0}).candidates == found.candidates
