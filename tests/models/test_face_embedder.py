from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from visage.models.checkpoints import write_weights
from visage.models.face_embedder import (
    TEMPLATE,
    EmbedderNetwork,
    FaceEmbedder,
    align_faces,
    load_face_embedder,
    similarity,
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EmbedderNetwork((8, 8, 16, 16), 24).eval()


def turned(points, angle, scale, shift):
    matrix = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32
    )
    return points @ torch.from_numpy(matrix).float().T + torch.tensor(shift)


def test_vectors_have_unit_length_and_a_mirrored_face_has_the_same(network):
    embedder = FaceEmbedder(network, "tiny")
    faces = torch.rand(3, 112, 112, 3, generator=torch.Generator().manual_seed(1))
    vectors = embedder.embed(faces)
    assert vectors.shape == (3, 24)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(embedder.embed(faces.flip(2)), vectors, atol=1e-5)


def test_a_face_of_another_size_is_refused(network):
    with pytest.raises(ValueError, match=r"\[N, 112, 112, 3\], not \[1, 128, 128, 3\]"):
        FaceEmbedder(network, "tiny").embed(torch.rand(1, 128, 128, 3))


def test_a_file_brings_back_the_same_network(network, tmp_path):
    path = tmp_path / "embedder.safetensors"
    kept = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    write_weights(path, kept, {})
    faces = torch.rand(1, 112, 112, 3, generator=torch.Generator().manual_seed(2))
    expected = FaceEmbedder(network, "tiny").embed(faces)
    loaded = load_face_embedder(path)
    assert loaded.name == "embedder"
    assert torch.equal(loaded.embed(faces), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("project.0.weight"), "is not a face embedder of Visage"),
        (lambda w: w.pop("weigh.0.weight"), r"1 tensors missing \['weigh.0.weight'\]"),
        (lambda w: w.update(more=torch.zeros(1)), r"1 unknown \['more'\]"),
        (
            lambda w: w.update({"weigh.0.weight": torch.zeros(16, 1, 5, 5)}),
            r"\[16, 1, 5, 5\] instead of \[16, 1, 7, 7\]",
        ),
    ],
)
def test_a_wrong_file_says_what_is_wrong(network, tmp_path, change, message):
    path = tmp_path / "wrong.safetensors"
    weights = dict(network.state_dict())
    change(weights)
    write_weights(path, weights, {})
    with pytest.raises(ValueError, match=message):
        load_face_embedder(path)


def test_similarity_undoes_a_turn():
    template = torch.tensor(TEMPLATE)
    moved = turned(template, 0.4, 2.5, (30.0, -12.0))
    matrix = similarity(moved[None], template)[0].float()
    assert torch.allclose(moved @ matrix[:, :2].T + matrix[:, 2], template, atol=1e-3)


def test_similarity_refuses_points_that_coincide():
    with pytest.raises(ValueError, match="lie on one point"):
        similarity(torch.ones(1, 5, 2), torch.tensor(TEMPLATE))


def test_a_face_that_lies_on_the_template_stays_as_it_is():
    image = torch.rand(112, 112, 3, generator=torch.Generator().manual_seed(3))
    aligned = align_faces(image, torch.tensor(TEMPLATE)[None])[0]
    assert torch.allclose(aligned, image, atol=1e-4)


def test_an_enlarged_face_is_what_opencv_gives():
    image = cv2.GaussianBlur(
        np.random.default_rng(4).random((90, 120, 3), dtype=np.float32), (0, 0), 3
    )
    points = turned(torch.tensor(TEMPLATE), 0.3, 0.6, (20.0, 4.0))
    matrix = similarity(points[None], torch.tensor(TEMPLATE))[0].numpy()
    expected = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR)
    found = align_faces(torch.from_numpy(image), points[None])[0].numpy()
    # OpenCV rounds positions to 1/32 pixel; beyond the border its black begins elsewhere.
    inside = cv2.warpAffine(np.ones((90, 120), np.float32), matrix, (112, 112)) > 0.999
    assert np.abs(found - expected)[inside].max() < 5e-3


def test_a_shrunk_face_is_averaged_and_not_skipped():
    y, x = torch.meshgrid(torch.arange(896), torch.arange(896), indexing="ij")
    chequered = ((x + y) % 2).float()[..., None].expand(-1, -1, 3)
    points = torch.tensor(TEMPLATE)[None] * 8 + 3.5
    aligned = align_faces(chequered, points)[0]
    assert (aligned[8:-8, 8:-8] - 0.5).abs().max() < 0.02


def test_no_faces_give_an_empty_batch_and_wrong_shapes_are_refused():
    assert align_faces(torch.rand(20, 20, 3), torch.zeros(0, 5, 2)).shape == (0, 112, 112, 3)
    with pytest.raises(ValueError, match=r"landmarks \[N, 5, 2\], not \[5, 2\]"):
        align_faces(torch.rand(20, 20, 3), torch.zeros(5, 2))
    with pytest.raises(ValueError, match=r"one picture \[H, W, 3\]"):
        align_faces(torch.rand(1, 20, 20, 3), torch.zeros(1, 5, 2))
