"""Figures on photographs: the sums by hand, and the whole on a few pictures of one photograph."""

import json
import sys

import cv2
import numpy as np
import pytest
from visage.evaluation import photo_faces
from visage.evaluation.photo_edits import (
    PROMPTS,
    Edit,
    contact_sheet,
    edit_photographs,
    face_found,
    fid_ratio,
    fraction_of,
    reconstruction,
    skin_shifts,
    summary,
    whole_square,
)
from visage.evaluation.photo_faces import (
    FaceJudge,
    Portrait,
    held_out_portraits,
    measured_photographs,
    overlap,
    shrink,
    spread,
    training_portraits,
)
from visage.models.dlib_faces import dlib_files
from visage.training.starter.photographs import split_of


def portrait(value=100, size=40):
    return Portrait("a.png", "people", np.full((size, size, 3), value, np.uint8), {})


def edit(value=100, box=(5, 5, 20, 20), box_after=None, mask=1.0):
    edited = np.full((40, 40, 3), value, np.uint8)
    return Edit(portrait(), "a prompt", edited, np.full((40, 40), mask), box, box_after)


class Blocks:
    """A judge that finds one face: the bounding box of what is white."""

    def faces(self, image):
        rows, columns = np.nonzero(image.min(2) > 200)
        if not len(rows):
            return []
        return [(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)]

    def embedding(self, image, box):
        return np.array([image.mean(), *box[2:]], float)


def test_only_faces_that_were_there_before_and_were_edited_count():
    edits = [edit(box_after=(5, 5, 20, 20)), edit(), edit(box=None), edit(box_after=(5, 5, 19, 20))]
    edits.append(edit(box_after=(5, 5, 20, 20), mask=0.0))
    figure = face_found(edits)
    assert figure.value == pytest.approx(2 / 3) and figure.count == 3
    assert figure.low < 2 / 3 < figure.high


def test_wilsons_interval_of_a_known_case():
    # 8 of 10: 0.490 to 0.943, as in Wilson's tables.
    figure = fraction_of(8, 10)
    assert (round(figure.low, 3), round(figure.high, 3)) == (0.490, 0.943)
    assert fraction_of(10, 10).high == pytest.approx(1)
    assert np.isnan(fraction_of(0, 0).value)


def test_a_summary_has_an_interval_around_its_value():
    figure = summary([1.0, 2.0, 3.0, 4.0, 100.0])
    assert figure.value == 3 and figure.low <= 3 <= figure.high and figure.count == 5
    assert np.isnan(summary([]).value)


def test_a_face_of_the_same_colour_has_not_shifted_and_an_empty_mask_says_nothing():
    assert skin_shifts([edit(100), edit(100, mask=0.0)]) == [pytest.approx(0, abs=1e-4)]
    assert skin_shifts([edit(255)])[0] > 40


def test_a_face_is_looked_for_where_it_was():
    first = np.zeros((40, 40, 3), np.uint8)
    first[5:20, 5:20] = 255
    moved = np.zeros((40, 40, 3), np.uint8)
    moved[22:38, 22:38] = 255
    mask = np.ones((40, 40))
    answers = iter([(first, mask), (moved, mask)])
    portraits = [Portrait("a", "people", first, {})] * 2
    seen = []

    def editor(image, prompt, seed):
        seen.append((prompt, seed))
        return next(answers)

    edits = edit_photographs(portraits, editor, Blocks())
    assert [e.box_after is not None for e in edits] == [True, False]
    assert seen == [(PROMPTS[0], 0), (PROMPTS[1], 1)]
    assert contact_sheet(edits, columns=3, size=16).shape == (16, 96, 3)


def test_prompts_name_no_skin():
    assert not any("skin" in prompt for prompt in PROMPTS)


def test_boxes_overlap_by_their_shared_part():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0


def test_values_are_taken_at_even_distances():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 5) == [1, 2]
    assert shrink(np.zeros((1024, 512, 3), np.uint8)).shape == (512, 256, 3)
    assert whole_square(np.zeros((30, 90, 3), np.uint8), 16).shape == (16, 16, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty squares in each set, as photographs with their table."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for source in ("synthetic", "people", "headshots"):
        lines = []
        (root / source).mkdir()
        for number in range(40):
            name = f"{source}_{number:02}.png"
            image = np.zeros((48, 48, 3), np.uint8)
            side = int(rng.integers(10, 40))
            image[4 : 4 + side, 4 : 4 + side] = rng.integers(201, 256)
            cv2.imwrite(str(root / source / name), image)
            lines.append(json.dumps({"file": name, "width": 48, "height": 48, "faces": []}))
        (root / source / "faces.jsonl").write_text("\n".join(lines))
    return root


def test_a_third_comes_from_each_set_and_synthetic_ones_are_held_out(folder):
    chosen = measured_photographs(folder, 10)
    sources = [p.source for p in chosen]
    assert sources.count("people") == 4 and sources.count("headshots") == 3
    held = [p.file for p in chosen if p.source == "synthetic"]
    assert held and all(split_of(file) == "test" for file in held)
    assert all(split_of(p.file) == "test" for p in held_out_portraits(folder))
    assert all(split_of(p.file) == "train" for p in training_portraits(folder, 5))


def test_faces_painted_like_the_held_out_ones_have_a_smaller_ratio(folder):
    def same(image, prompt, seed):
        return image, np.ones(image.shape[:2])

    def dark(image, prompt, seed):
        return (image > 0) * np.uint8(203), np.ones(image.shape[:2])

    near, far = (fid_ratio(Blocks(), folder, editor, 20) for editor in (same, dark))
    assert near.value < far.value


def test_a_codec_that_loses_nothing_has_the_highest_psnr():
    class Codec:
        def __init__(self, error):
            self.error = error

        def encode(self, image):
            return image

        def decode(self, latent):
            return latent + self.error

    figure = reconstruction(Codec(0.1), [portrait(100).image] * 3)
    assert figure.value == pytest.approx(20, abs=0.01) and figure.count == 3


@pytest.mark.skipif(dlib_files() is None, reason="dlib is not installed")
def test_the_judge_finds_a_real_face_and_none_in_nothing(monkeypatch):
    # As on newer Pythons, which lack setuptools: then the package of its files cannot be imported.
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    monkeypatch.delitem(sys.modules, "face_recognition_models", raising=False)
    skimage_data = pytest.importorskip("skimage.data")
    judge = FaceJudge()
    image = np.ascontiguousarray(skimage_data.astronaut()[:256, 128:384])
    boxes = judge.faces(image)
    assert len(boxes) == 1
    assert judge.embedding(image, boxes[0]).shape == (128,)
    assert judge.faces(np.zeros((64, 64, 3), np.uint8)) == []


def test_a_judge_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(photo_faces, "dlib_files", lambda: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install dlib-bin face-recognition-models"):
        FaceJudge()
