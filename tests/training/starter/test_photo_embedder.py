"""The embedder's stage on photographs: one picture of each person, shown in many ways."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from visage.models.face_embedder import INPUT_SIZE, TEMPLATE, EmbedderNetwork, FaceEmbedder
from visage.training.loop import Run
from visage.training.starter.dataset import load_set, render_set
from visage.training.starter.photo_embedder import (
    FIVE,
    MARGIN,
    aligned_face,
    displacement,
    draw_photographed,
    expression,
    show_again,
    train_photo_embedder,
)
from visage.training.starter.photographs import LANDMARKS, Photograph

WIDTHS = {"widths": [8, 8, 8, 8], "dimensions": 8}
RECIPE = {
    "network": WIDTHS, "steps": 2, "batch": 6, "learning_rate": 1e-3, "scale": 16.0,
    "margin": 0.2, "photographs": 0.6, "painted": 0.3, "degraded": 0.3, "hidden": 0.3,
}  # fmt: skip


@pytest.fixture
def photograph():
    """A picture whose face is the template made twice as large and moved by (30, 40)."""
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 90, (LANDMARKS, 2)) * 2 + (30, 40)
    points[list(FIVE)] = np.array(TEMPLATE) * 2 + (30, 40)
    points[[152, 148, 377]] = np.array([[56, 110], [50, 109], [62, 109]]) * 2 + (30, 40)
    image = rng.integers(0, 255, (320, 300, 3), dtype=np.uint8)
    box = np.array([[60, 80, 160, 180]], np.float32)
    return Photograph("a.jpg", image, box, np.float32([0.9]), points[None].astype(np.float32), {})


def test_a_face_is_cut_out_with_its_mesh_on_the_template(photograph):
    face = aligned_face(photograph)
    side = INPUT_SIZE + 2 * MARGIN
    assert face.image.shape == (side, side, 3)
    assert np.allclose(face.points[list(FIVE)], np.array(TEMPLATE) + MARGIN, atol=1e-2)


def test_a_doubtful_face_is_left_out(photograph):
    assert aligned_face(replace(photograph, scores=np.float32([0.2]))) is None
    assert aligned_face(replace(photograph, boxes=np.zeros((0, 4), np.float32))) is None


def test_a_move_shifts_its_surroundings_and_leaves_what_is_far_away():
    corners = np.array([[40.0, 80], [90, 80]])
    field = displacement([(corners, np.array([[-4.0, -2], [4, -2]]))], 160)
    assert np.allclose(field[80, 40], (-4, -2), atol=0.05)
    assert np.allclose(field[80, 90], (4, -2), atol=0.05)
    assert np.abs(field[80, 150]).max() < 0.01 and np.abs(field[20]).max() < 0.01


def test_corners_of_the_mouth_move_apart_in_a_smile(photograph):
    points = aligned_face(photograph).points
    apart = []
    for seed in range(40):
        corners, shifts = expression(points, np.random.default_rng(seed))[0]
        width = (corners + shifts)[:, 0]
        apart.append(width[1] - width[0] - (corners[1, 0] - corners[0, 0]))
        assert shifts[0, 1] == shifts[1, 1]
    assert min(apart) < 0 < max(apart) and np.mean(apart) > 1


def test_each_picture_of_a_face_differs_and_a_seed_repeats_it(photograph):
    face = aligned_face(photograph)
    first, again, other = (show_again(face, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (INPUT_SIZE, INPUT_SIZE, 3)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    drawn = draw_photographed(RECIPE, face, np.random.default_rng(3))
    assert drawn.dtype == np.float32 and 0 <= drawn.min() and drawn.max() <= 1


def test_the_stage_goes_on_from_the_start_and_keeps_its_curve(photograph, tmp_path):
    render_set(tmp_path, "train", 6, 64, workers=1)
    drawn = load_set(tmp_path, "train", 6)
    start = FaceEmbedder(EmbedderNetwork(**WIDTHS), "start")
    photographs = [photograph, replace(photograph, file="b.jpg")]
    still = RECIPE | {"learning_rate": 0.0}
    same = train_photo_embedder(still, 0, drawn, photographs, start, tmp_path / "still")
    weights = start.network.state_dict()
    assert torch.equal(same.project[0].weight, weights["project.0.weight"])
    moved = train_photo_embedder(RECIPE, 0, drawn, photographs, start, tmp_path / "moved")
    assert not torch.equal(moved.project[0].weight, weights["project.0.weight"])
    lines = Run(tmp_path / "moved", "photo_embedder", 0).curve.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
