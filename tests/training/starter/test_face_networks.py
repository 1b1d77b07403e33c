"""The stages of the face embedder, the face detector and the image encoder, on tiny data."""

import json

import numpy as np
import pytest
import torch
from visage.training.loop import Run
from visage.training.starter.dataset import load_set, render_set
from visage.training.starter.detector_pictures import (
    MIRRORED,
    Layer,
    draw_picture,
    portrait_layers,
    scene_layers,
)
from visage.training.starter.face_detector import detection_loss, targets, train_face_detector
from visage.training.starter.face_embedder import (
    MarginHead,
    draw_face,
    onto_template,
    person_parameters,
    standardised,
    train_face_embedder,
)
from visage.training.starter.image_encoder import (
    build_image_encoder,
    draw_painting,
    quarter_colours,
    set_filters,
    style_contrast,
    train_image_encoder,
)
from visage.training.starter.scenes import load_scenes, render_scenes
from visage.world import STYLES, portrait


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    render_set(folder, "train", 6, 64, workers=1)
    return load_set(folder, "train", 6)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    render_scenes(folder, 2, 64, workers=1)
    return load_scenes(folder, 2)


def curve(folder, name):
    return [json.loads(line) for line in Run(folder, name, 0).curve.read_text().splitlines()]


class TestEmbedder:
    recipe = {
        "network": {"widths": [8, 8, 8, 8], "dimensions": 8},
        "steps": 2, "batch": 4, "learning_rate": 1e-3, "scale": 8.0, "margin": 0.2,
        "parameter_weight": 1.0, "painted": 0.5, "degraded": 0.5,
    }  # fmt: skip

    def test_landmarks_come_to_lie_on_the_template(self, people):
        matrix = onto_template(people)[2]
        left, right = (portrait(2, 64).landmarks[:2] - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        assert np.allclose([left[1], right[1]], 51.6, atol=4)
        assert right[0] - left[0] == pytest.approx(35, abs=6)

    def test_a_drawn_face_is_a_picture_of_the_embedders_size(self, people):
        rng = np.random.default_rng(0)
        for index in range(4):
            face = draw_face(self.recipe, people, onto_template(people), index, rng)
            assert face.shape == (112, 112, 3) and face.dtype == np.float32
            assert 0 <= face.min() and face.max() <= 1 and face.std() > 0.03

    def test_the_margin_makes_the_right_person_harder_and_nobody_else(self):
        torch.manual_seed(0)
        head = MarginHead(6, 5, scale=10.0)
        vectors, who = torch.randn(4, 6), torch.tensor([0, 2, 4, 2])
        plain, cosine = head(vectors, who, 0.0)
        harder, _ = head(vectors, who, 0.3)
        right = torch.zeros(4, 5, dtype=torch.bool).scatter(1, who[:, None], True)
        assert torch.allclose(plain, 10 * cosine, atol=1e-2)
        assert (harder[right] < plain[right]).all()
        assert torch.equal(harder[~right], plain[~right])

    def test_people_have_parameters_that_differ(self):
        table = standardised(np.array([person_parameters(seed) for seed in range(40)]))
        assert table.shape[0] == 40 and table.shape[1] > 30
        assert np.allclose(table.std(0), 1, atol=1e-3) and np.abs(table.mean(0)).max() < 1e-4

    def test_the_stage_trains(self, people, tmp_path):
        network = train_face_embedder(self.recipe, 0, people, tmp_path)
        assert network(torch.zeros(2, 3, 112, 112)).shape == (2, 8)
        assert [line["step"] for line in curve(tmp_path, "face_embedder")] == [0, 1]


class TestDetector:
    recipe = {
        "network": {"widths": [8, 8, 8], "blocks": 1}, "input_size": 96,
        "steps": 2, "batch": 2, "learning_rate": 1e-3, "negatives": 0.0, "scenes": 0.5,
        "clutter": 0.5, "behind": 0.1,
    }  # fmt: skip

    def one_face(self, box=(30.0, 20, 32, 40), visible=1.0):
        points = np.array([[[40.0, 35], [52, 35], [46, 42], [41, 50], [51, 50]]], np.float32)
        empty = np.zeros((96, 96), bool)
        seen = np.array([visible], np.float32)
        image = np.zeros((96, 96, 3), np.uint8)
        return Layer(image, empty, np.array([box], np.float32), points, seen)

    def test_targets_say_where_the_face_is(self):
        heat, weight, numbers, where = targets(self.one_face())
        (row,), (column,) = np.nonzero(heat == 1)
        assert (row, column) == (5, 5) and weight.all()
        dx, dy, log_width, log_height, *points = numbers[:, row, column]
        assert ((column + 0.5 + dx) * 8, (row + 0.5 + dy) * 8) == pytest.approx((46, 40))
        assert np.exp([log_width, log_height]) * 8 == pytest.approx([32, 40])
        landmarks = (np.reshape(points, (5, 2)) + [column + 0.5, row + 0.5]) * 8
        assert np.allclose(landmarks, self.one_face().landmarks[0], atol=1e-3)

    @pytest.mark.parametrize(
        "face", [{"box": (40.0, 40, 8, 8)}, {"box": (2.0, 2, 92, 92)}, {"visible": 0.2}]
    )
    def test_faces_that_are_not_asked_for_are_neither_right_nor_wrong(self, face):
        picture = self.one_face(**face)
        heat, weight, _, where = targets(picture)
        assert heat.max() == 0 and where.max() == 0 and weight.min() == 0

    def test_the_loss_of_the_truth_is_small_and_of_an_empty_answer_large(self):
        truth = [torch.from_numpy(t)[None] for t in targets(self.one_face())]
        heat, _, numbers, _ = truth
        right = torch.cat([torch.where(heat == 1, 9.0, -9.0)[:, None], numbers], 1)
        good = detection_loss(right, *truth)
        poor = detection_loss(torch.full_like(right, -9.0), *truth)
        assert good[0] < 0.01 and good[1] < 1e-6
        assert poor[0] > 5 and poor[1] > 1

    def test_drawn_pictures_keep_landmarks_inside_their_boxes(self, people, scenes):
        layers = portrait_layers(people), scene_layers(scenes)
        photos, rng = [np.full((120, 120, 3), 90, np.uint8)], np.random.default_rng(1)
        boxes = points = 0
        for _ in range(12):
            picture = draw_picture(self.recipe, *layers, photos, rng)
            assert picture.image.shape == (96, 96, 3)
            for box, landmarks in zip(picture.boxes, picture.landmarks, strict=True):
                inside = (landmarks > box[:2] - 2) & (landmarks < box[:2] + box[2:] + 2)
                boxes, points = boxes + 1, points + inside.all(1).mean()
        assert boxes > 12 and points / boxes > 0.9

    def test_mirroring_keeps_left_on_the_left(self):
        eyes = self.one_face().landmarks[:, MIRRORED]
        mirrored = 96 - eyes[0, :, 0]
        assert mirrored[0] < mirrored[1] and mirrored[3] < mirrored[4]

    def test_the_stage_trains(self, people, scenes, tmp_path):
        network = train_face_detector(self.recipe, 0, people, scenes, tmp_path)
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 15, 8, 12)
        assert [line["step"] for line in curve(tmp_path, "face_detector")] == [0, 1]


class TestImageEncoder:
    recipe = {
        "network": {
            "image_size": 64, "patch_size": 16, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 12,
        },
        "steps": 2, "batch": 4, "learning_rate": 1e-3,
    }  # fmt: skip

    def test_every_style_is_drawn(self, people):
        photos, rng = [np.full((120, 120, 3), 90, np.uint8)], np.random.default_rng(0)
        plain = np.arange(len(people.images))
        drawn = [draw_painting(people, plain, photos, 64, rng) for _ in range(60)]
        assert {number for _, number in drawn} == set(range(len(STYLES)))
        assert all(picture.shape == (64, 64, 3) for picture, _ in drawn)

    def test_contrast_is_small_where_styles_cluster(self):
        styles = torch.tensor([0, 0, 1, 1])
        apart = torch.eye(2)[styles]
        mixed = torch.eye(2)[torch.tensor([0, 1, 0, 1])]
        assert style_contrast(apart, styles, 0.1) < 0.01 < style_contrast(mixed, styles, 0.1)

    def test_every_filter_sees_as_much_of_the_pictures_at_the_start(self):
        network = build_image_encoder(self.recipe["network"] | {"hidden_size": 48})
        pixels = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        set_filters(network, pixels)
        seen = network.vision_model.embeddings.patch_embedding(pixels)
        assert torch.allclose(seen.std((0, 2, 3)), torch.ones(48), atol=1e-3)

    def test_quarters_are_told_apart_by_their_colours(self):
        picture = torch.zeros(1, 3, 8, 8)
        picture[0, 0, :4, :4], picture[0, 2, 4:, ::2] = 1.0, 1.0
        mean, spread = quarter_colours(picture).view(2, 3, 2, 2)
        assert mean[0].flatten().tolist() == [1, 0, 0, 0]
        assert mean[2].flatten().tolist() == [0, 0, 0.5, 0.5]
        assert spread[2].flatten().tolist() == pytest.approx([0, 0, 0.5, 0.5])

    def test_the_stage_trains(self, people, tmp_path):
        network = train_image_encoder(self.recipe, 0, people, tmp_path)
        assert network(pixel_values=torch.zeros(1, 3, 64, 64)).image_embeds.shape == (1, 12)
        assert len(curve(tmp_path, "image_encoder")) == 2
