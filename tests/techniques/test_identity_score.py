from __future__ import annotations

import json
import math

import pytest
import torch
from visage.models.face_analyzer import Analyzer, FoundFace, Thresholds
from visage.models.face_embedder import TEMPLATE
from visage.techniques.identity_score import (
    COLOURS,
    as_json,
    compare,
    describe,
    draw_identity,
    identity_scores,
    is_accepted,
    mean_score,
    scaled,
    verdict_of,
)

THRESHOLDS = Thresholds(0.9, 0.5, "made up")


class ByColour:
    """Stands in for a recognizer: a face is who its mean colour says."""

    size = 3
    thresholds = THRESHOLDS

    def embed(self, faces):
        return torch.nn.functional.normalize(faces.mean((1, 2)) + 1e-6, dim=1)


def face_at(x, y, side=60.0):
    """A face whose aligned crop is the square of that side at (x, y)."""
    landmarks = (torch.tensor(TEMPLATE) + 0.5) * (side / 112) - 0.5
    return FoundFace((x, y, side, side), 0.9, landmarks + torch.tensor([x, y]))


class Stub:
    """Finds the same faces in every picture, unless told to find none in black ones."""

    def __init__(self, *faces, blind=False):
        self.faces, self.blind, self.runs = faces, blind, 0

    def __call__(self, image):
        self.runs += 1
        return [] if self.blind and float(image.max()) == 0 else list(self.faces)


LEFT, RIGHT = face_at(10.0, 20.0), face_at(110.0, 20.0)
RED, GREEN = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])


def analyzer(*faces, blind=False):
    return Analyzer("fake", "none", Stub(*faces, blind=blind), ByColour())


def halves(left, right, height=100, width=200):
    picture = torch.zeros(1, height, width, 3)
    picture[:, :, : width // 2], picture[:, :, width // 2 :] = left, right
    return picture


def cosines(pictures):
    return [[round(face.cosine, 3) for face in picture.faces] for picture in pictures]


def test_each_face_is_compared_with_what_became_of_it():
    both = analyzer(LEFT, RIGHT)
    before = halves(RED, GREEN)
    mixed = torch.nn.functional.normalize(torch.tensor([0.5, 1.0, 0.0]), dim=0)
    scores = identity_scores(before, halves(RED, mixed), both)
    assert cosines(scores) == [[1.0, 0.894]]
    assert [face.verdict for face in scores[0].faces] == ["same", "unsure"]
    assert scores[0].score == pytest.approx(0.947, abs=1e-3)


def test_one_original_serves_a_batch_and_is_looked_at_once():
    both = analyzer(LEFT)
    results = torch.cat([halves(RED, RED), halves(GREEN, GREEN)])
    scores = identity_scores(halves(RED, RED), results, both)
    assert cosines(scores) == [[1.0], [0.0]]
    # Once in the original, and once in each result to see whether the face is still found.
    assert both._detect.runs == 3
    assert cosines(identity_scores(halves(RED, RED), results[1:], both)) == cosines(scores[1:])


def test_pictures_of_a_batch_have_their_own_originals():
    originals = torch.cat([halves(RED, RED), halves(GREEN, GREEN)])
    scores = identity_scores(originals, originals.flip(0), analyzer(LEFT))
    assert cosines(scores) == [[0.0], [0.0]] and mean_score(scores) == pytest.approx(0, abs=1e-4)


def test_a_larger_or_padded_result_is_the_same_picture():
    before = halves(RED, GREEN)
    both = analyzer(LEFT, RIGHT)
    double = halves(RED, GREEN, 200, 400)
    padded = torch.nn.functional.pad(before, (0, 0, 0, 4, 0, 4))
    for after in (double, padded):
        assert cosines(identity_scores(before, after, both)) == [[1.0, 1.0]]
    assert torch.allclose(scaled(torch.tensor([[0.0, 9.5]]), (2, 2)), torch.tensor([[0.5, 19.5]]))


def test_a_crop_is_not_the_same_picture():
    with pytest.raises(ValueError, match=r"200 x 100 px and result 100 x 100 px: the aspect"):
        identity_scores(halves(RED, RED), torch.zeros(1, 100, 100, 3), analyzer(LEFT))


def test_batches_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="original has 2 pictures and result has 3"):
        identity_scores(torch.zeros(2, 9, 9, 3), torch.zeros(3, 9, 9, 3), analyzer())


def test_a_picture_without_a_face_has_no_score():
    (score,) = identity_scores(halves(RED, RED), halves(RED, RED), analyzer())
    assert score.faces == () and math.isnan(score.score)
    assert "picture 0: no face found" in describe([score], analyzer())


def test_tiny_faces_are_listed_and_not_counted():
    tiny = face_at(120.0, 20.0, side=16)
    both = analyzer(LEFT, tiny)
    (score,) = identity_scores(halves(RED, RED), halves(RED, GREEN), both)
    assert [face.counted for face in score.faces] == [True, False]
    assert score.score == pytest.approx(1.0)
    assert "0.000 different (under 20 px, not in the mean)" in describe([score], both)


def test_a_face_that_no_detector_sees_any_more_is_still_compared():
    careful = analyzer(LEFT, blind=True)
    (score,) = identity_scores(halves(RED, RED), halves(0, 0), careful)
    assert not score.faces[0].found_again
    assert "(not detected in the result)" in describe([score], careful)
    assert "0% of faces detected again" in describe([score], careful)


def test_detection_alone_cannot_compare():
    blind = Analyzer("haar", "none", lambda image: [FoundFace((0, 0, 9, 9), 1, None)])
    with pytest.raises(ValueError, match="'haar' gives no landmarks"):
        identity_scores(halves(RED, RED), halves(RED, RED), blind)


def test_vectors_of_two_analyzers_are_not_compared():
    with pytest.raises(ValueError, match="of 512 and of 128 numbers"):
        compare(torch.zeros(1, 512), torch.zeros(1, 128))


@pytest.mark.parametrize(
    ("cosine", "verdict"),
    [(1, "same"), (0.9, "same"), (0.89, "unsure"), (0.5, "unsure"), (0.49, "different")],
)
def test_a_verdict_is_what_the_embedders_cosines_mean(cosine, verdict):
    assert verdict_of(cosine, THRESHOLDS) == verdict


def test_the_report_names_the_analyzer_and_its_thresholds():
    both = analyzer(LEFT, RIGHT)
    text = describe(identity_scores(halves(RED, RED), halves(RED, GREEN), both), both)
    assert text.splitlines() == [
        "picture 0, face 0 at (10, 20), 60 x 60 px: 1.000 same",
        "picture 0, face 1 at (110, 20), 60 x 60 px: 0.000 different",
        "mean 0.500, 100% of faces detected again",
        "fake: same from 0.900, different below 0.500 (made up)",
    ]


def test_the_overlay_shows_verdicts_in_their_colours():
    both = analyzer(LEFT, RIGHT)
    before = halves(RED, RED)
    (score,) = identity_scores(before, halves(RED, GREEN), both)
    shown = draw_identity(before[0], torch.zeros(200, 400, 3), score)
    # The second face's box, in a result of twice the size, shown twice as large.
    assert shown.shape == (400, 800, 3)
    assert torch.allclose(shown[200, 440], torch.tensor(COLOURS["different"]) / 255)
    shown = shown.mul(255).round().int()
    for verdict in ("same", "different"):
        colour = torch.tensor(COLOURS[verdict], dtype=torch.int32)
        assert (shown == colour).all(dim=-1).any()
    assert not (shown == torch.tensor(COLOURS["unsure"], dtype=torch.int32)).all(dim=-1).any()


def test_a_picture_is_accepted_when_everybody_who_counts_is_still_there():
    tiny = face_at(120.0, 20.0, side=16)
    before, after = halves(RED, RED), halves(RED, GREEN)
    (one_lost,) = identity_scores(before, after, analyzer(LEFT, RIGHT))
    (tiny_lost,) = identity_scores(before, after, analyzer(LEFT, tiny))
    (only_tiny,) = identity_scores(before, after, analyzer(tiny))
    assert [is_accepted(0, p, 0.9, "accept") for p in (one_lost, tiny_lost, only_tiny)] == [
        False,
        True,
        False,
    ]
    assert is_accepted(0, one_lost, -1, "accept")


def test_a_picture_without_a_face_is_treated_as_asked():
    (empty,) = identity_scores(halves(RED, RED), halves(RED, RED), analyzer())
    assert is_accepted(0, empty, 0.9, "accept") and not is_accepted(0, empty, 0.9, "reject")
    with pytest.raises(ValueError, match="original of picture 3 shows no face"):
        is_accepted(3, empty, 0.9, "error")


def test_the_scores_are_plain_json():
    (score,) = identity_scores(halves(RED, RED), halves(GREEN, GREEN), analyzer(LEFT))
    (empty,) = identity_scores(halves(RED, RED), halves(RED, RED), analyzer())
    told = json.loads(as_json([score, empty], [False, True], analyzer(LEFT)))
    assert told["analyzer"] == "fake" and told["identity"] == 0
    assert [picture["identity"] for picture in told["pictures"]] == [0, None]
    assert told["pictures"][0]["faces"] == [
        {
            "box": [10, 20, 60, 60],
            "cosine": 0,
            "verdict": "different",
            "counted": True,
            "found_again": True,
        }
    ]


def test_a_wide_picture_with_twenty_faces_some_over_its_border():
    faces = [face_at(-30.0 + 40 * number, 20.0) for number in range(20)]
    crowd = analyzer(*faces)
    before = halves(RED, GREEN, height=100, width=800)
    (kept,) = identity_scores(before, before, crowd)
    assert [round(face.cosine, 3) for face in kept.faces] == [1.0] * 20
    (lost,) = identity_scores(before, halves(RED, RED, height=100, width=800), crowd)
    assert [face.verdict for face in lost.faces[:10]] == ["same"] * 10
    assert {face.verdict for face in lost.faces[11:]} == {"different"}
    assert draw_identity(before[0], before[0], kept).shape == (100, 800, 3)
