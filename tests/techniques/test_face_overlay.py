from __future__ import annotations

import pytest
import torch
from visage.models.face_classes import CLASSES, COLOURS, PRESETS
from visage.techniques.face_mask import face_mask
from visage.techniques.face_overlay import draw_faces


@pytest.mark.parametrize(
    ("height", "width", "face", "factor"),
    [(64, 64, (32, 28, 40), 8), (300, 280, (140, 130, 150), 2), (600, 500, (250, 250, 300), 1)],
)
def test_small_pictures_are_enlarged_and_the_legend_is_below(
    parser, paint, height, width, face, factor
):
    image, _ = paint(height, width, [face])
    overlay = face_mask(image[None], parser, ["face"]).overlay
    assert overlay.shape[2] == width * factor
    assert height * factor < overlay.shape[1] < height * factor + 0.35 * width * factor
    assert 0 <= overlay.min() and overlay.max() <= 1
    legend = overlay[0, height * factor :].reshape(-1, 3).mul(255).round().int()
    for name in CLASSES:
        swatch = (legend == torch.tensor(COLOURS[name], dtype=torch.int32)).all(dim=1).sum()
        assert (swatch > 30) == (name in PRESETS["face"])


def test_the_mask_is_tinted_and_the_rest_only_dimmed(parser, paint):
    image, _ = paint(600, 600, [(300, 270, 300)])
    grey = torch.where(image.sum(dim=-1, keepdim=True) > 0, image, torch.full_like(image, 0.02))
    overlay = face_mask(grey[None], parser, ["skin"]).overlay[0]
    skin = torch.tensor(COLOURS["skin"]) / 255
    assert torch.allclose(overlay[300, 220], skin, atol=0.02)
    assert torch.allclose(overlay[580, 10], torch.full((3,), 0.012), atol=0.005)


def test_faces_are_numbered_and_those_not_chosen_are_quieter(parser, paint):
    image, _ = paint(400, 800, [(200, 200, 120), (600, 200, 200)])
    result = face_mask(image[None], parser, ["face"], which="largest")
    x, y, width, height = (round(value) for value in result.boxes[0][0])
    overlay = result.overlay[0]
    assert overlay[y + height // 2, x : x + 4].amax() > 0.9
    assert 0.5 < overlay[200, 154:160].amin(dim=-1).max() < 0.7


def test_a_picture_without_a_face_says_so(parser, paint):
    image, _ = paint(600, 600, [])
    overlay = face_mask(image[None], parser, ["face"]).overlay[0]
    assert (overlay[:40, :200] > 0.9).float().mean() > 0.1


def test_faces_get_words_and_colours_of_their_own():
    picture = torch.full((200, 300, 3), 0.5)
    boxes = [(20.0, 60.0, 80.0, 80.0), (180.0, 60.0, 90.0, 90.0)]
    shown = draw_faces(picture, boxes, ["0: same", "1: different"], [(0, 255, 0), (255, 0, 0)])
    assert shown.shape == (400, 600, 3)
    assert shown[120, 120].tolist() == [0, 1, 0] and shown[120, 480].tolist() == [1, 0, 0]
    assert torch.equal(shown[350:], torch.full((50, 600, 3), 128 / 255))


def test_a_picture_without_faces_says_so():
    picture = torch.full((600, 600, 3), 0.5)
    assert (draw_faces(picture, [], []) > 0.9).any()
