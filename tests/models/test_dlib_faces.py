"""dlib's analyzer, with the files of the installed package."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from visage.models import dlib_faces
from visage.models.analyzer_pack import load_pack
from visage.models.dlib_faces import LANDMARKS, RECOGNIZER, DlibFiles, dlib_analyzer, dlib_files

installed = pytest.mark.skipif(dlib_files() is None, reason="dlib is not installed")


@pytest.fixture(scope="module")
def astronaut():
    return torch.from_numpy(data.astronaut()).float() / 255


@pytest.fixture(scope="module")
def analyzer():
    return dlib_analyzer()


@installed
@pytest.mark.slow
def test_the_astronaut_is_found_with_eyes_nose_and_mouth(analyzer, astronaut):
    (face,) = analyzer.find(astronaut)
    x, y, w, h = face.box
    assert abs(x + w / 2 - 224) < 20 and abs(y + h / 2 - 124) < 25 and 0.5 < face.score <= 1
    left, right, nose, *mouth = face.landmarks.tolist()
    assert left[0] < nose[0] < right[0] and left[1] < nose[1] < mouth[0][1]
    assert mouth[0][0] < mouth[1][0]


@installed
@pytest.mark.slow
def test_vectors_are_of_unit_length_and_follow_the_person(analyzer, astronaut):
    (face,) = analyzer.find(astronaut)
    dim = astronaut * 0.6 + 0.1
    mirrored = astronaut.flip(1)
    (turned,) = analyzer.find(mirrored)
    (vector,) = analyzer.embed(astronaut, [face.landmarks])
    assert vector.shape == (128,) and vector.norm() == pytest.approx(1)
    for picture, landmarks in ((dim, face.landmarks), (mirrored, turned.landmarks)):
        assert vector @ analyzer.embed(picture, [landmarks])[0] > analyzer.thresholds.same
    elsewhere = face.landmarks + torch.tensor([0.0, 200.0])
    assert vector @ analyzer.embed(astronaut, [elsewhere])[0] < analyzer.thresholds.different


@installed
@pytest.mark.slow
def test_nobody_is_found_in_nothing(analyzer):
    for shape in ((1, 1, 3), (40, 300, 3)):
        assert analyzer.find(torch.zeros(shape)) == []
    assert analyzer.embed(torch.zeros(9, 9, 3), []).shape == (0, 128)
    with pytest.raises(ValueError, match="one picture"):
        analyzer.find(torch.zeros(1, 9, 9, 3))


@installed
@pytest.mark.slow
def test_a_folder_with_the_two_files_is_an_analyzer(tmp_path):
    files = dlib_files()
    for name, file in ((RECOGNIZER, files.recognizer), (LANDMARKS, files.landmarks)):
        (tmp_path / name).symlink_to(file)
    assert load_pack(sorted(tmp_path.iterdir())).name == "dlib"


@installed
@pytest.mark.slow
def test_a_broken_file_is_named(tmp_path):
    broken = tmp_path / LANDMARKS
    broken.write_bytes(b"no landmarks")
    with pytest.raises(ValueError, match=LANDMARKS):
        dlib_analyzer(DlibFiles(dlib_files().recognizer, broken))


def test_what_is_missing_is_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(dlib_faces.importlib.util, "find_spec", lambda name: None)
    assert dlib_files() is None and dlib_files(tmp_path) is None
    with pytest.raises(FileNotFoundError, match="pip install dlib-bin face-recognition-models"):
        dlib_analyzer()
