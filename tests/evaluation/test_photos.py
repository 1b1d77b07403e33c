"""Finding and outlining faces in photographs, against a judge made up here."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from visage.evaluation.hair_outlines import OUTLINES, outlined
from visage.evaluation.photo_identity import person_of, ten_fold
from visage.evaluation.photos import Findings, JudgedPicture, compare, judged, large_group, oval_iou
from visage.training.starter.photo_labels import OVAL
from visage.training.starter.photographs import LANDMARKS


def picture(boxes, scores, landmarks=None):
    return JudgedPicture(
        "a.jpg",
        torch.zeros(200, 200, 3),
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        torch.tensor(scores),
        landmarks or [None] * len(boxes),
    )


def test_each_face_is_found_once_and_only_what_touches_none_is_false():
    findings = Findings()
    judge = picture([[10, 10, 40, 40], [100, 10, 40, 40], [10, 100, 10, 10]], [0.9, 0.5, 0.9])
    # Twice over the first face, beside a corner of it, over the doubtful one, over nothing.
    found = [[12, 8, 40, 44], [8, 12, 40, 40], [45, 45, 20, 20], [100, 12, 36, 40]]
    compare(judge, [*found, [150, 150, 30, 30]], findings)
    assert (findings.asked, findings.found) == (1, 1)
    assert findings.false == [("a.jpg", [45, 45, 20, 20]), ("a.jpg", [150, 150, 30, 30])]
    compare(judge, [], findings)
    assert (findings.pictures, findings.asked, findings.recall) == (2, 2, 0.5)
    assert findings.missed == [("a.jpg", [10, 10, 40, 40])]


def test_the_oval_is_compared_near_the_largest_sure_face_only():
    angles = np.arange(36) / 36 * 2 * np.pi
    points = np.zeros((LANDMARKS, 2), np.float32)
    ring = np.stack([100 + 30 * np.sin(angles), 100 - 40 * np.cos(angles)], 1)
    points[[int(index) for index in OVAL.split()]] = ring
    judge = picture([[70, 70, 60, 60], [0, 0, 90, 90]], [0.9, 0.4], [points, None])
    drawn = np.zeros((200, 200), np.uint8)
    cv2.ellipse(drawn, (100, 100), (30, 40), 0, 0, 360, 1, -1)
    mask = torch.from_numpy(drawn).float()
    assert oval_iou(judge, mask) > 0.95
    mask[:20] = 1
    assert oval_iou(judge, mask) > 0.95
    half = mask.clone()
    half[100:] = 0
    assert 0.4 < oval_iou(judge, half) < 0.6
    assert oval_iou(judge, torch.zeros(200, 200)) == 0
    assert oval_iou(picture([], []), mask) is None


def test_a_folder_is_read_with_the_held_out_part_of_the_synthetic_ones(tmp_path):
    part = tmp_path / "synthetic"
    part.mkdir()
    lines = []
    for number in range(30):
        name = f"sfhq_{number:04d}.jpg"
        cv2.imwrite(str(part / name), np.zeros((8, 8, 3), np.uint8))
        lines.append(json.dumps({"file": name, "width": 8, "height": 8, "faces": []}))
    (part / "faces.jsonl").write_text("\n".join(lines))
    assert 0 < len(list(judged(tmp_path, "synthetic"))) < 10
    with pytest.raises(FileNotFoundError, match="people"):
        list(judged(tmp_path, "people"))


def test_a_large_group_is_filled_with_the_pictures(monkeypatch):
    from visage.evaluation import photos

    monkeypatch.setattr(photos, "LARGE", (300, 410))
    white = JudgedPicture("b", torch.ones(90, 120, 3), torch.zeros(0, 4), torch.zeros(0), [])
    canvas = large_group([white])
    assert canvas.shape == (300, 410, 3) and canvas.min() == 1


def test_two_people_are_told_apart_by_a_threshold_from_others():
    torch.manual_seed(0)
    people = torch.nn.functional.normalize(torch.randn(20, 32), dim=1)
    vectors = {
        str(k): list(torch.nn.functional.normalize(p + 0.03 * torch.randn(2, 32), dim=1))
        for k, p in enumerate(people)
    }
    right, threshold = ten_fold(vectors)
    assert right == 1 and 0.5 < threshold < 1
    few = {name: vectors[name] for name in list(vectors)[:6]}
    assert ten_fold(few)[0] == 1
    same = people[0]
    assert ten_fold({name: [same, same] for name in vectors})[0] == pytest.approx(0.5)
    assert person_of("neutral_front_001_03.jpg") == person_of("smiling_front_001_08.jpg")


def test_outlines_are_polygons_with_holes():
    square = {"hair": [[[1, 1], [8, 1], [8, 8], [1, 8]]], "holes": [[[4, 4], [5, 4], [5, 5]]]}
    drawn = outlined(square, 10, 10)
    assert drawn[2, 2] and not drawn[4, 5] and not drawn[0, 0]
    outlines = json.loads(OUTLINES.read_text())
    assert len(outlines) == 24
    assert all(len(polygon) >= 4 for o in outlines.values() for polygon in o["hair"])
