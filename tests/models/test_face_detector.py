from __future__ import annotations

import math

import pytest
import torch
from visage.models import face_detector
from visage.models.checkpoints import write_weights
from visage.models.face_detector import (
    OUTPUTS,
    STRIDE,
    DetectorNetwork,
    FaceDetector,
    decode,
    load_face_detector,
    overlap,
    suppress,
)

EYES_NOSE_MOUTH = torch.tensor([[-8.0, -6], [8, -6], [0, 2], [-6, 9], [6, 9]])


class BrightSquares(torch.nn.Module):
    """Stands in for a trained network: a face of `side` pixels wherever a cell is bright."""

    def __init__(self, side=32):
        super().__init__()
        self.side = side
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels):
        bright = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), STRIDE)
        outputs = torch.zeros(len(pixels), OUTPUTS, *bright.shape[2:])
        outputs[:, :1] = bright * 8
        outputs[:, 3:5] = math.log(self.side / STRIDE)
        outputs[:, 5:] = (EYES_NOSE_MOUTH / STRIDE).flatten()[:, None, None]
        return outputs


def black(height, width):
    return torch.zeros(1, height, width, 3)


def test_a_face_is_found_where_it_is():
    image = black(64, 96)
    image[0, 24:32, 40:48] = 1
    (found,) = FaceDetector(BrightSquares(), "fake").find(image, smallest=24)
    assert len(found.scores) == 1
    assert torch.allclose(found.boxes[0], torch.tensor([44.0 - 16, 28 - 16, 32, 32]), atol=1e-4)
    # The middle of the cell is between pixels 43 and 44.
    assert torch.allclose(found.landmarks[0], EYES_NOSE_MOUTH + torch.tensor([43.5, 27.5]))


@pytest.mark.parametrize(("side", "count"), [(20, 1), (16, 0)])
def test_boxes_far_below_the_smallest_face_are_left_out(side, count):
    image = black(40, 56)
    image[0, 16:24, 24:32] = 1
    (found,) = FaceDetector(BrightSquares(side), "fake").find(image, smallest=24)
    assert len(found.scores) == count


def test_a_large_face_is_found_in_a_smaller_copy_of_the_picture():
    image = black(256, 256)
    image[0, 128:160, 96:128] = 1
    (found,) = FaceDetector(BrightSquares(), "fake").find(image, smallest=96)
    box = found.boxes[0]
    assert torch.allclose(box[:2] + box[2:] / 2, torch.tensor([112.0, 144]), atol=16)
    assert torch.allclose(box[2:], torch.tensor([128.0, 128]), rtol=1e-3)


@pytest.mark.parametrize("shape", [(33, 47), (8, 8), (1, 200)])
def test_pictures_of_any_size_go_through(shape):
    found = FaceDetector(BrightSquares(), "fake").find(black(*shape).expand(2, -1, -1, -1))
    assert [len(f.scores) for f in found] == [0, 0]
    assert found[0].boxes.shape == (0, 4) and found[0].landmarks.shape == (0, 5, 2)


def test_each_picture_of_a_batch_is_searched_alone():
    batch = torch.cat([black(64, 64), black(64, 64)])
    batch[1, 32:40, 32:40] = 1
    first, second = FaceDetector(BrightSquares(), "fake").find(batch)
    assert (len(first.scores), len(second.scores)) == (0, 1)


def test_certainty_is_that_of_a_face_at_the_box_alone():
    pictures = black(64, 64).repeat(2, 1, 1, 1)
    pictures[:, 24:32, 40:48] = 1
    there, elsewhere = [28.0, 12, 32, 32], [0.0, 32, 32, 32]
    detector = FaceDetector(BrightSquares(), "fake")
    sure = detector.certainty(pictures, torch.tensor([there, elsewhere]))
    assert sure[0] == detector.find(pictures[:1])[0].scores[0] and sure[1] < 0.01


def test_decoding_takes_peaks_only():
    outputs = torch.full((OUTPUTS, 4, 4), -9.0)
    outputs[0, 1, 1], outputs[0, 1, 2], outputs[0, 3, 3] = 3.0, 2.0, -0.1
    _, scores, _ = decode(outputs, 0.5)
    assert scores.tolist() == pytest.approx([torch.tensor(3.0).sigmoid().item()])


def test_overlap_of_known_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 4, 4], [2, 2, 5, 5]])
    assert overlap(boxes[:1], boxes)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0.25])
    assert overlap(boxes[:1], boxes, of_smaller=True)[0].tolist() == pytest.approx([1, 0.5, 0, 1])


def test_of_boxes_over_one_face_the_surest_remains():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [30, 0, 10, 10], [2, 2, 4, 4]])
    assert suppress(boxes, torch.tensor([0.6, 0.9, 0.7, 0.8])).tolist() == [1, 2]


def test_a_file_brings_back_the_same_network_and_a_wrong_one_is_refused(tmp_path):
    torch.manual_seed(0)
    network = DetectorNetwork((8, 8, 16), 2).eval()
    path = tmp_path / "detector.safetensors"
    write_weights(path, network.state_dict(), {})
    loaded = load_face_detector(path)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(loaded.network(pixels), network(pixels))
    weights = dict(network.state_dict())
    weights["head.weight"] = weights["head.weight"][:5]
    write_weights(path, weights, {}, overwrite=True)
    with pytest.raises(ValueError, match="is not a face detector of Visage"):
        load_face_detector(path)
    weights = dict(network.state_dict())
    del weights["blocks.1.first.0.weight"]
    write_weights(path, weights, {}, overwrite=True)
    with pytest.raises(ValueError, match="1 tensors missing"):
        load_face_detector(path)


def test_wrong_pictures_and_sizes_are_refused():
    detector = FaceDetector(BrightSquares(), "fake")
    with pytest.raises(ValueError, match=r"\[B, H, W, 3\], not \[64, 64, 3\]"):
        detector.find(torch.rand(64, 64, 3))
    with pytest.raises(ValueError, match="8 px or more"):
        detector.find(black(64, 64), smallest=4)


def test_a_large_picture_is_looked_at_in_tiles_which_makes_no_difference(monkeypatch):
    torch.manual_seed(0)
    network = DetectorNetwork((4, 4, 6), blocks=4).eval()
    pixels = torch.randn(1, 3, 296, 424)
    whole = network(pixels)[0]
    monkeypatch.setattr(face_detector, "TILE", 128)
    tiled = face_detector._in_tiles(network, pixels)
    assert tiled.shape == whole.shape
    assert torch.allclose(tiled, whole, atol=1e-5)
