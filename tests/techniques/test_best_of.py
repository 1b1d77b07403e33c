import math

import pytest
import torch
from visage.techniques.best_of import contact_sheet, rank, read_scores


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("0.5, -1, 2e-1", [0.5, -1, 0.2]),
        ("[1, 2]", [1, 2]),
        ("0.25", [0.25]),
        ('{"identity": 0.4, "pictures": [{"identity": 0.5}, {"identity": 0.3}]}', [0.5, 0.3]),
        ("picture 0: style 0.1, colour distance 3\npicture 1: style -0.25, colour 1", [0.1, -0.25]),
    ],
)
def test_reads_what_the_score_nodes_say(text, scores):
    assert read_scores(text, "person") == scores


def test_a_picture_without_a_face_has_no_score():
    scores = read_scores('{"pictures": [{"identity": null}, {"identity": 0.3}]}', "person")
    assert math.isnan(scores[0]) and scores[1] == 0.3


@pytest.mark.parametrize("text", ["", "good, bad", '{"a": 1}', "[[1]]", "{"])
def test_other_texts_are_refused(text):
    with (
        pytest.raises(ValueError, match="person holds no scores")
        if text
        else pytest.raises(ValueError, match="0 scores for 2")
    ):
        rank({"person": read_scores(text, "person")}, {"person": 1}, 2)


def test_the_weighted_mean_decides_and_equal_ones_keep_their_order():
    scores = {"person": [0.2, 0.8, 0.5, 0.5], "style": [0.9, 0.1, 0.5, 0.5]}
    assert rank(scores, {"person": 1, "style": 1}, 4)[0] == [0, 2, 3, 1]
    assert rank(scores, {"person": 1, "style": 0}, 4)[0] == [1, 2, 3, 0]
    order, totals = rank(scores, {"person": 3, "style": -1}, 4)
    assert order == [1, 2, 3, 0] and totals[1] == pytest.approx((3 * 0.8 - 0.1) / 4)


def test_pictures_without_a_score_come_last():
    assert rank({"person": [math.nan, -0.9]}, {"person": 1}, 2)[0] == [1, 0]


def test_scores_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(ValueError, match="style has 1 scores for 3 pictures"):
        rank({"style": [1]}, {"style": 1}, 3)
    with pytest.raises(ValueError, match="No score counts"):
        rank({"style": [1, 2, 3]}, {"style": 0}, 3)


@pytest.mark.parametrize("size", [(512, 300), (40, 60), (1, 1)])
def test_the_sheet_holds_every_picture_in_order(size):
    colours = torch.linspace(0.2, 1, 7)
    pictures = colours.reshape(7, 1, 1, 1).expand(7, *size, 3)
    sheet = contact_sheet(pictures, ["a\nb"] * 7, best=1)
    assert sheet.shape[0] == 1 and sheet.shape[3] == 3
    shown = sheet.reshape(-1, 3)
    for colour in colours:
        assert ((shown - colour).abs().max(dim=1).values < 1 / 255).any()
