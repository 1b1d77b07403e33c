import json

import numpy as np
import pytest
from visage.techniques.edit_claim import check_claim, make_claim


@pytest.fixture
def original():
    return np.random.default_rng(0).integers(0, 250, (40, 60, 3), np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((40, 60), np.float32)
    mask[10:20, 30:50] = 0.01
    return mask


@pytest.fixture
def claim(original, mask):
    return json.loads(json.dumps(make_claim(original, mask, scores="0.9")))


def edit(original, rows, columns, by=5):
    edited = original.copy()
    edited[rows, columns] += np.uint8(by)
    return edited


def test_a_change_within_the_mask_holds_and_is_described(original, claim):
    verdict = check_claim(edit(original, slice(12, 15), slice(31, 35)), original, claim)
    assert verdict.broken == ()
    assert (verdict.changed, verdict.pixels, verdict.box, verdict.largest) == (
        12, 2400, (31, 12, 4, 3), 5,
    )  # fmt: skip


def test_an_untouched_picture_holds(original, claim):
    verdict = check_claim(original, original, claim)
    assert (verdict.changed, verdict.box, verdict.broken) == (0, None, ())


def test_one_step_in_one_channel_outside_the_mask_breaks_it(original, claim):
    edited = original.copy()
    edited[39, 59, 2] += 1
    verdict = check_claim(edited, original, claim)
    assert verdict.broken == ("1 pixels were changed outside its mask",)


def test_another_original_breaks_it(original, claim):
    other = edit(original, 0, 0)
    assert check_claim(other, other, claim).broken == ("it was made from another original",)


def test_without_a_claim_nothing_is_proven(original):
    assert check_claim(original, original, None).broken == ("the file makes no claim",)


def test_a_mask_of_another_size_breaks_it(original):
    claim = make_claim(original, np.ones((4, 4)))
    assert "its mask is 4 x 4 px" in check_claim(original, original, claim).broken[0]


@pytest.mark.parametrize(
    "change", [{"mask": "###"}, {"mask": "aGk="}, {"version": 9}, {"original_sha256": None}]
)
def test_a_damaged_claim_is_refused(original, claim, change):
    with pytest.raises(ValueError, match="claim cannot be read"):
        check_claim(original, original, claim | change)


def test_pictures_of_two_sizes_are_not_compared(original, claim):
    with pytest.raises(ValueError, match="60 x 39 px and the original 60 x 40"):
        check_claim(original[:-1], original, claim)
