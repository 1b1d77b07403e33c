"""OpenCV runs these files itself, so that decoding and channel order are its own."""

from __future__ import annotations

import pytest
import torch
from visage.models.onnx_file import read_onnx
from visage.models.opencv_faces import SFace, YuNet, is_sface, is_yunet

LANDMARKS = torch.tensor([[-1, -0.5], [1, -0.5], [0, 0.25], [-0.5, 1], [0.5, 1]]) * 8


@pytest.fixture
def yunet(tmp_path, write_yunet):
    write_yunet(tmp_path / "any name.onnx")
    return YuNet(read_onnx(tmp_path / "any name.onnx"))


def bright_cell(height, width, x, y, side=8):
    image = torch.zeros(height, width, 3)
    image[y : y + side, x : x + side] = 1
    return image


def test_a_face_is_found_where_it_is(yunet):
    (face,) = yunet.find(bright_cell(96, 128, x=64, y=40))
    assert face.box == pytest.approx((52, 28, 32, 32), abs=0.1)
    assert face.score > 0.9
    assert torch.allclose(face.landmarks, torch.tensor([64.0, 40.0]) + LANDMARKS, atol=0.1)


def test_a_large_picture_is_also_seen_small(yunet):
    # 40 px are half a cell of the smaller copy, and five cells of the larger one.
    faces = yunet.find(bright_cell(1280, 2560, x=1280, y=640, side=64))
    assert max(face.box[2] for face in faces) == pytest.approx(256, rel=0.05)


def test_a_picture_without_a_face_gives_none(yunet):
    assert yunet.find(torch.zeros(50, 70, 3)) == []


def test_sface_sees_red_first(tmp_path, write_embedder):
    write_embedder(tmp_path / "sface.onnx", 128)
    file = read_onnx(tmp_path / "sface.onnx")
    assert is_sface(file) and not is_yunet(file)
    faces = torch.zeros(2, 112, 112, 3)
    faces[0, ..., 0], faces[1, ..., 2] = 1, 0.5
    vectors = SFace(file).embed(faces)
    assert vectors.shape == (2, 128)
    assert vectors.argmax(1).tolist() == [0, 2]
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))


def test_a_damaged_graph_is_named(tmp_path, onnx_graph):
    graph = onnx_graph([1, 3, 112, 112], "data")
    graph.node("NoSuchOperation", ["data"], "fc1")
    graph.output("fc1", [1, 128])
    graph.write(tmp_path / "broken.onnx")
    with pytest.raises(ValueError, match=r"cannot run .*broken\.onnx"):
        SFace(read_onnx(tmp_path / "broken.onnx"))
