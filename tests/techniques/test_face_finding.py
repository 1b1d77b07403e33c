from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from visage.models.face_classes import CLASSES, COLOURS
from visage.models.face_detector import Detections
from visage.techniques import face_finding
from visage.techniques.face_finding import AGAIN_FACES, certainty_again, find_faces
from visage.techniques.face_proposals import CASCADE_MIN_FACE, propose_by_cascade
from visage.techniques.face_squares import Square, component_in, cut_squares, square_around


def box_of(face):
    x, y, size = face
    return (x - 0.37 * size, y - 0.5 * size, 0.74 * size, size)


def assert_boxes_near(found, faces, tolerance=0.12):
    assert len(found) == len(faces)
    for face, painted in zip(found, faces, strict=True):
        assert np.abs(np.subtract(face.box, box_of(painted))).max() < tolerance * painted[2] + 2


@pytest.mark.parametrize(
    ("height", "width", "faces"),
    [
        (300, 280, [(140, 120, 150)]),
        (128, 128, [(60, 60, 70)]),
        (96, 96, [(48, 42, 60)]),
        (512, 512, [(256, 230, 400)]),
        (400, 1600, [(200, 150, 180), (900, 150, 120), (1450, 180, 150)]),
        (1600, 400, [(200, 900, 180)]),
    ],
    ids=["portrait", "small", "tiny", "filling", "wide", "tall"],
)
def test_faces_are_found_where_they_are_painted(parser, paint, height, width, faces):
    image, _ = paint(height, width, faces)
    assert_boxes_near(find_faces(image, parser), faces)


@pytest.mark.slow
def test_twelve_faces_come_from_left_to_right(parser, paint):
    faces = [(150 + 300 * column, 120 + 300 * row, 120) for column in range(4) for row in range(3)]
    image, _ = paint(900, 1200, faces)
    assert_boxes_near(find_faces(image, parser), faces)


@pytest.mark.slow
def test_a_face_cut_by_the_border_is_found_with_its_visible_part(parser, paint):
    image, _ = paint(600, 800, [(20, 200, 200), (400, 30, 160), (780, 560, 200)])
    boxes = [face.box for face in find_faces(image, parser)]
    assert len(boxes) == 3
    for x, y, width, height in boxes:
        assert x >= -0.5 and y >= -0.5 and x + width <= 800.5 and y + height <= 600.5


def test_skin_without_features_is_no_face(parser, paint):
    image, labels = paint(400, 400, [(200, 200, 200)])
    features = (labels == 4) | (labels == 5) | ((labels >= 10) & (labels <= 13))
    bare = torch.where(features[..., None], image[200, 260], image)
    assert find_faces(image, parser) and not find_faces(bare, parser)


def repainted(image, labels, changes):
    """The picture with some classes painted as others."""
    for old, new in changes.items():
        colour = torch.tensor(COLOURS[new]) / 255
        image = torch.where((labels == CLASSES.index(old))[..., None], colour, image)
    return image


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"left_eye": "glasses", "right_eye": "glasses"}, 1),
        ({"left_eye": "skin"}, 1),
        ({"mouth": "skin", "upper_lip": "skin", "lower_lip": "skin"}, 1),
        ({"left_eye": "right_eye", "right_eye": "left_eye"}, 0),
        ({"nose": "left_eye", "left_eye": "nose", "right_eye": "nose"}, 0),
    ],
    ids=["dark glasses", "one eye", "covered mouth", "eyes exchanged", "nose above eyes"],
)
def test_eyes_nose_and_mouth_must_lie_as_in_a_face(parser, paint, changes, found):
    image, labels = paint(300, 300, [(150, 140, 180)])
    assert len(find_faces(repainted(image, labels, changes), parser)) == found


@pytest.mark.parametrize(("turns", "found"), [(0, 1), (1, 0), (2, 0)])
def test_a_face_is_upright(parser, paint, turns, found):
    image, _ = paint(300, 300, [(150, 140, 180)])
    assert len(find_faces(torch.rot90(image, turns), parser)) == found


class Detector:
    """Sees the faces whose boxes it was given in the picture that stands upright after `turns`.

    `again` is how sure it is of each when it looks again.
    """

    def __init__(self, boxes, scores, turns=0, again=0.0):
        self.boxes, self.scores, self.turns, self.again = boxes, scores, turns, again
        self.looks = -1

    def find(self, images, score, smallest):
        self.looks += 1
        shown = self.looks == self.turns
        boxes = torch.tensor(self.boxes if shown else [], dtype=torch.float32).view(-1, 4)
        scores = torch.tensor(self.scores if shown else [])
        return [Detections(boxes, scores, torch.zeros(len(boxes), 5, 2))]

    def certainty(self, pictures, boxes):
        return torch.full((len(pictures),), self.again)


def test_the_parser_confirms_what_the_detector_proposes_unless_it_is_certain(parser, paint):
    faces = [(150, 150, 120), (450, 150, 120)]
    image, _ = paint(300, 900, faces)
    nothing = (700.0, 100.0, 80.0, 90.0)
    for score, count in ((0.6, 2), (0.9, 3)):
        detector = Detector([*map(box_of, faces), nothing], [0.5, 0.3, score])
        found = find_faces(image, parser, detector)
        assert len(found) == count
        assert_boxes_near(found[:2], faces)
    assert found[2].box == nothing and found[2].score == pytest.approx(0.9)


@pytest.mark.parametrize(("again", "count"), [(0.5, 1), (0.6, 2)])
def test_a_doubtful_face_that_is_seen_again_is_kept(parser, paint, again, count):
    painted, nothing = (150, 150, 120), (700.0, 100.0, 80.0, 90.0)
    image, _ = paint(300, 900, [painted])
    detector = Detector([box_of(painted), nothing], [0.9, 0.5], again=again)
    found = find_faces(image, parser, detector)
    assert [face.box for face in found[1:]] == [nothing][: count - 1]
    assert [face.score for face in found[1:]] == pytest.approx([again][: count - 1])


@pytest.mark.parametrize("box", [(60.0, 40.0, 30.0, 42.0), (0.0, 100.0, 120.0, 90.0)])
def test_the_second_look_has_the_box_where_the_face_is(box):
    x, y, width, height = map(int, box)
    image = torch.zeros(200, 240, 3)
    image[y : y + height, x : x + width // 2] = 1

    class Brightness(Detector):
        def certainty(self, pictures, boxes):
            assert len(pictures) == 2 * len(AGAIN_FACES)
            for number, (picture, (left, top, w, h)) in enumerate(
                zip(pictures, boxes, strict=True)
            ):
                assert max(w, h) == pytest.approx(AGAIN_FACES[number // 2], rel=0.02)
                half = [slice(round(float(left)), round(float(left + w / 2))),
                        slice(round(float(left + w / 2)), round(float(left + w)))]  # fmt: skip
                rows = picture[round(float(top)) : round(float(top + h)), :, 0]
                bright, dark = half if number % 2 == 0 else half[::-1]
                assert rows[:, bright].mean() > 0.85 and rows[:, dark].mean() < 0.15
            return torch.ones(len(pictures))

    assert certainty_again(image, Brightness([], []), box) == 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_that_is_not_upright_is_found_by_turning_the_picture(parser, paint, turns):
    painted = (180, 90, 100)
    upright, _ = paint(240, 300, [painted])
    lying = torch.rot90(upright, -turns)
    (face,) = find_faces(lying, parser, Detector([box_of(painted)], [0.7], turns))
    assert face.turns == turns
    x, y, w, h = (round(value) for value in box_of(painted))
    where = torch.zeros(240, 300)
    where[y : y + h, x : x + w] = 1
    rows, columns = torch.nonzero(torch.rot90(where, -turns), as_tuple=True)
    expected = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    left, top, width, height = face.box
    assert np.abs(np.subtract((left, top, left + width, top + height), expected)).max() < 12


def test_a_doubtful_face_beside_a_large_sure_one_is_none(parser, paint):
    painted = (150, 150, 120)
    fold = (250.0, 100.0, 80.0, 90.0)
    for width, count in ((300, 1), (900, 2)):  # a portrait, and a person in a wide picture
        image, _ = paint(300, width, [painted])
        found = find_faces(image, parser, Detector([box_of(painted), fold], [0.9, 0.75]))
        assert len(found) == count
        assert_boxes_near(found[:1], [painted])


@pytest.mark.parametrize(("score", "turns"), [(0.72, 2), (0.9, 0)])
def test_a_doubtful_upright_face_gives_way_to_a_surer_turned_one(parser, paint, score, turns):
    painted = (180, 90, 100)
    lying = torch.rot90(paint(240, 300, [painted])[0], 2)
    certain = Detector([box_of(painted)], [0.85], turns=2)

    class Both(Detector):
        def find(self, images, threshold, smallest):
            turned = certain.find(images, threshold, smallest)
            upright = super().find(images, threshold, smallest)
            return upright if len(upright[0].boxes) else turned

    (face,) = find_faces(lying, parser, Both([(100.0, 100.0, 80.0, 90.0)], [score]))
    assert face.turns == turns


@pytest.mark.parametrize("shape", [(300, 200), (1, 1), (5, 700)])
def test_nothing_is_found_in_nothing(parser, shape):
    assert find_faces(torch.zeros(*shape, 3), parser) == []


@pytest.mark.slow
def test_the_cascade_proposes_the_astronauts_face_at_any_resolution(photograph):
    astronaut = photograph("astronaut")
    enlarged = astronaut.repeat_interleave(3, dim=0).repeat_interleave(3, dim=1)
    for image, factor in ((astronaut, 1), (enlarged, 3)):
        boxes = propose_by_cascade(image)
        centres = [((x + w / 2) / factor, (y + h / 2) / factor) for x, y, w, h in boxes]
        assert any(abs(x - 222) < 20 and abs(y - 114) < 20 for x, y in centres)


def test_a_leaning_face_is_proposed_where_it_is(photograph):
    astronaut = photograph("astronaut").numpy()
    turn = cv2.getRotationMatrix2D((222, 114), 25, 1.0)
    leaning = cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    boxes = propose_by_cascade(torch.from_numpy(leaning))
    assert any(abs(x + w / 2 - 222) < 20 and abs(y + h / 2 - 114) < 20 for x, y, w, h in boxes)


def test_a_portrait_is_not_searched_for_small_faces(parser, paint, monkeypatch):
    calls = []
    monkeypatch.setattr(face_finding, "propose_by_cascade", lambda image: calls.append(1) or [])
    find_faces(paint(300, 300, [(150, 140, 180)])[0], parser)
    assert not calls
    find_faces(paint(300, 300, [(150, 140, 60)])[0], parser)
    find_faces(paint(900, 900, [(450, 440, 540)])[0], parser)
    assert len(calls) == 2


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
@pytest.mark.slow
def test_the_starter_sees_no_face_where_there_is_none(starter_parser, photograph, name):
    assert find_faces(photograph(name), starter_parser) == []


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a.flip(1), lambda a: a[20:300, 60:400]])
def test_the_starter_finds_the_astronaut(starter_parser, photograph, view):
    marked = torch.zeros(512, 512, 3)
    marked[76:180, 180:268] = 1
    rows, columns = (torch.nonzero(view(marked)[..., 0].amax(dim=k)) for k in (1, 0))
    (face,) = find_faces(view(photograph("astronaut")), starter_parser)
    x, y, width, height = face.box
    expected = columns.min(), rows.min(), columns.max(), rows.max()
    assert np.abs(np.subtract((x, y, x + width, y + height), expected)).max() < 20


def test_the_starter_finds_a_group(starter_parser, photograph):
    group = photograph("astronaut")[0:300, 60:400].repeat(2, 3, 1)
    boxes = [face.box for face in find_faces(group, starter_parser)]
    assert sorted((round(y) // 300, round(x) // 340) for x, y, _, _ in boxes) == [
        (row, column) for row in range(2) for column in range(3)
    ]


def test_the_cascade_passes_over_pictures_below_its_window():
    assert propose_by_cascade(torch.rand(CASCADE_MIN_FACE - 1, 300, 3)) == []


def test_squares_have_context_and_stay_inside_where_they_fit():
    assert square_around((100, 100, 40, 50), 300, 400) == Square(80, 85, 80)
    assert square_around((100, 100, 40, 50), 300, 400, 1.0) == Square(70, 75, 100)
    assert square_around((-10, 270, 40, 50), 300, 400, 1.0) == Square(0, 200, 100)
    # Larger than the picture is high: over the border in equal parts.
    assert square_around((100, 20, 180, 200), 300, 400, 1.0) == Square(0, -50, 400)
    assert square_around((0, 0, 500, 500), 300, 400).side == 400


def test_squares_are_cut_exactly_and_continue_the_edges():
    image = torch.rand(6, 8, 3)
    inside, beyond = cut_squares(image, [Square(2, 1, 4), Square(-2, 3, 4)], 4)
    assert torch.allclose(inside, image[1:5, 2:6])
    assert torch.allclose(beyond[:3, 2:], image[3:6, :2])
    assert torch.allclose(beyond[:3, :1], image[3:6, :1])
    assert torch.allclose(beyond[3, 2:], image[5, :2])


def test_the_component_that_fills_the_box_wins_over_a_larger_one():
    support = np.zeros((20, 20), bool)
    support[1:19, 1:8] = True
    support[8:12, 12:16] = True
    component = component_in(support, (11, 7, 6, 6))
    assert component[9, 13] and not component[9, 4]
    assert not component_in(support, (17, 17, 3, 3)).any()
