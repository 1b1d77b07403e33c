"""Whole persons: the parser's heads, and the bodies below them by colour."""

import pytest
import torch
from visage.models.face_classes import CLASSES, COLOURS
from visage.techniques.face_mask import face_mask
from visage.techniques.person_mask import person_mask

pytestmark = pytest.mark.slow

SIZE = 120
CLOTHES = torch.tensor(COLOURS["clothes"]) / 255


def overlap(mask, truth):
    """Intersection over union."""
    mask = mask > 0.5
    return ((mask & truth).sum() / (mask | truth).sum()).item()


@pytest.fixture
def standing(paint):
    """Two people on black who stand as deep as the picture is high, and where each of them is."""
    height, middles = 640, (200, 600)
    picture, labels = paint(height, 800, [(x, 120, SIZE) for x in middles])
    columns = torch.arange(800)
    people = []
    for middle in middles:
        near = (columns - middle).abs()
        picture[240:, near < 0.7 * SIZE] = CLOTHES
        labels[240:, near < 0.7 * SIZE] = CLASSES.index("clothes")
        people.append((labels > 0) & (near < 200))
    return picture, people


def test_a_person_is_marked_from_head_to_foot(parser, standing):
    picture, people = standing
    everybody = people[0] | people[1]
    found = person_mask(picture[None], parser)
    assert overlap(found.mask[0], everybody) > 0.97
    assert found.mask.unique().tolist() == [0, 1]
    assert len(found.boxes[0]) == 2
    assert found.overlay.shape[-1] == 3
    heads = face_mask(picture[None], parser, CLASSES[1:]).mask
    assert overlap(heads[0], everybody) < 0.8


def test_one_person_is_chosen_by_number(parser, standing):
    picture, people = standing
    for number, person in enumerate(people):
        found = person_mask(picture[None], parser, which="index", index=number)
        assert overlap(found.mask[0], person) > 0.97


def test_a_badge_belongs_to_the_person_and_the_gap_between_arm_and_body_does_not(parser, standing):
    picture, _ = standing
    picture[300:320, 190:210] = torch.tensor([0.05, 0.05, 0.0])
    assert person_mask(picture[None], parser).mask[0, 300:320, 190:210].all()
    picture[300:420, 150:250] = 0
    assert not person_mask(picture[None], parser).mask[0, 310:410, 160:240].any()


def test_a_large_picture_has_the_mask_of_a_small_one(parser, standing):
    picture, people = standing
    large = picture.repeat_interleave(2, 0).repeat_interleave(2, 1)
    truth = (people[0] | people[1]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert overlap(person_mask(large[None], parser).mask[0], truth) > 0.97


def test_pictures_without_a_person(parser, standing):
    pictures = torch.stack([standing[0], torch.zeros_like(standing[0])])
    masks = person_mask(pictures, parser).mask
    assert masks[0].any()
    assert not masks[1].any()
    assert person_mask(pictures, parser, no_face="full").mask[1].all()
    with pytest.raises(ValueError, match="picture 2 of 2"):
        person_mask(pictures, parser, no_face="error")
    with pytest.raises(ValueError, match="which"):
        person_mask(pictures, parser, which="nobody")


@pytest.mark.slow
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_photograph_in_any_orientation(starter_parser, photograph, turns):
    astronaut = photograph("astronaut")
    found = person_mask(torch.rot90(astronaut, turns)[None], starter_parser).mask[0]
    upright = torch.rot90(found, -turns)
    face, sleeve, suit, flag, wall = ((80, 220), (350, 50), (420, 200), (100, 20), (60, 380))
    assert all(upright[place] == 1 for place in (face, sleeve, suit))
    assert all(upright[place] == 0 for place in (flag, wall))
