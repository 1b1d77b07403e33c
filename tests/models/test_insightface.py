from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from visage.models.insightface import ArcFace, Scrfd, decode, is_arcface, is_scrfd, open_session
from visage.models.onnx_file import OnnxFile, read_onnx

LANDMARKS = torch.tensor([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]]) * 16.0


def empty_tables(height, width, batch=()):
    return {
        f"{columns} at {stride}": np.zeros(
            (*batch, -(-height // stride) * -(-width // stride) * 2, columns), np.float32
        )
        for stride in (8, 16, 32)
        for columns in (1, 4, 10)
    }


def plant(tables, stride, row, score=0.9, batch=()):
    at = (*(0 for _ in batch), row)
    tables[f"1 at {stride}"][at] = score
    tables[f"4 at {stride}"][at] = [2, 3, 4, 5]
    tables[f"10 at {stride}"][at] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]


@pytest.mark.parametrize("batch", [(), (1,)])
def test_distances_from_an_anchor_become_a_box(batch):
    tables = empty_tables(640, 320, batch)
    # Row 3, column 5 of a grid that is 20 cells wide; the second of the two anchors.
    plant(tables, 16, (3 * 20 + 5) * 2 + 1, batch=batch)
    boxes, scores, landmarks = decode(tables, 640, 320)
    assert boxes.tolist() == [[80 - 32, 48 - 48, 96, 128]]
    assert scores.tolist() == pytest.approx([0.9])
    assert torch.equal(landmarks[0], torch.tensor([80.0, 48]) + LANDMARKS)


def test_unsure_anchors_are_left_out():
    tables = empty_tables(640, 640)
    plant(tables, 8, 7, score=0.4)
    assert len(decode(tables, 640, 640)[0]) == 0


def test_a_detector_without_landmarks_is_refused():
    tables = {name: t for name, t in empty_tables(64, 64).items() if not name.startswith("10")}
    with pytest.raises(ValueError, match=r"not of \(128, 1\).*no SCRFD with landmarks"):
        decode(tables, 64, 64)


class BrightestPixel:
    """Stands in for a network: a face with its anchor at the brightest pixel of its input, which
    it is surer of in a smaller copy.
    """

    def __init__(self):
        self.seen = []

    def __call__(self, pixels):
        height, width = pixels.shape[2:]
        self.seen.append(pixels)
        tables = empty_tables(height, width)
        row, column = np.unravel_index(pixels[0].sum(0).argmax(), (height, width))
        plant(tables, 8, (row // 8 * (width // 8) + column // 8) * 2, score=1 - width / 4000)
        return tables


def scrfd(run, sizes=(None, None)):
    return Scrfd(OnnxFile("det.onnx", {"input": (1, 3, *sizes)}, {}, ()), run)


def test_a_face_comes_back_in_the_pictures_own_pixels():
    image = torch.zeros(320, 1280, 3)
    image[160:176, 640:656] = 1
    run = BrightestPixel()
    (face,) = scrfd(run).find(image)
    assert [pixels.shape[2:] for pixels in run.seen] == [(1280, 1280), (640, 640), (320, 320)]
    # In the smallest copy a pixel is four of the picture's.
    assert face.box == pytest.approx((640 - 64, 160 - 96, 192, 256))
    assert torch.allclose(face.landmarks[2], torch.tensor([640.0, 160.0]))


def test_a_file_of_one_size_is_run_at_that_size():
    run = BrightestPixel()
    scrfd(run, (64, 96)).find(torch.rand(500, 300, 3))
    assert [pixels.shape for pixels in run.seen] == [(1, 3, 64, 96)]


def test_pixels_are_red_first_centred_and_padded_with_black():
    run = BrightestPixel()
    image = torch.zeros(32, 64, 3)
    image[..., 0] = 1
    scrfd(run, (64, 64)).find(image)
    (pixels,) = run.seen
    assert np.allclose(pixels[0, :, 0, 0], [127.5 / 128, -127.5 / 128, -127.5 / 128])
    assert np.allclose(pixels[0, :, 40:, :], -127.5 / 128)


def arcface(run, operations=()):
    shape = {"input": (None, 3, 112, 112)}
    return ArcFace(OnnxFile("rec.onnx", shape, {"out": (1, 512)}, operations), run)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [(("Conv", "PRelu"), [1, -1, 0]), (("Sub", "Mul", "Conv"), [255, 0, 127.5])],
)
def test_a_recognizer_gets_the_range_that_it_was_trained_on(operations, expected):
    seen = []

    def run(pixels):
        seen.append(pixels)
        return {"out": np.full((1, 512), 2, np.float32)}

    faces = torch.tensor([1.0, 0.0, 0.5]).expand(2, 112, 112, 3)
    vectors = arcface(run, operations).embed(faces)
    assert vectors.shape == (2, 512) and torch.allclose(vectors.norm(dim=1), torch.ones(2))
    assert all(pixels.shape == (1, 3, 112, 112) for pixels in seen)
    assert np.allclose(seen[0][0, :, 0, 0], expected)


def test_without_onnxruntime_it_says_what_to_install(monkeypatch, tmp_path, write_scrfd):
    write_scrfd(tmp_path / "det.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"det\.onnx is run by onnxruntime.*pip install"):
        open_session(read_onnx(tmp_path / "det.onnx"))


def test_onnxruntime_runs_a_real_detector_and_recognizer(tmp_path, write_scrfd, write_embedder):
    pytest.importorskip("onnxruntime")
    write_scrfd(tmp_path / "det.onnx")
    write_embedder(tmp_path / "rec.onnx", 512)
    detector, recognizer = (read_onnx(tmp_path / name) for name in ("det.onnx", "rec.onnx"))
    assert is_scrfd(detector) and is_arcface(recognizer)
    (face,) = Scrfd(detector, open_session(detector)).find(torch.rand(320, 320, 3))
    assert face.box == pytest.approx((52, 40, 40, 48))
    assert face.score == pytest.approx(0.9)
    green = torch.tensor([0.5, 1, 0.5]).expand(1, 112, 112, 3)
    vector = ArcFace(recognizer, open_session(recognizer)).embed(green)
    assert vector.shape == (1, 512) and int(vector.argmax()) == 1


def test_onnxruntime_says_which_file_it_cannot_run(tmp_path, onnx_graph):
    pytest.importorskip("onnxruntime")
    graph = onnx_graph([1, 3, 112, 112])
    graph.node("NoSuchOperation", ["input"], "out")
    graph.output("out", [1, 512])
    graph.write(tmp_path / "odd.onnx")
    with pytest.raises(ValueError, match=r"cannot run .*odd\.onnx"):
        open_session(read_onnx(tmp_path / "odd.onnx"))
