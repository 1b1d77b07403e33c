from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from visage.models.face_parser import load_face_parser
from visage.models.starter_files import starter_file
from visage.techniques import cascade_faces
from visage.techniques.cascade_faces import cascade_analyzer, haar_file


@pytest.fixture(scope="module")
def parser():
    return load_face_parser(starter_file("face_parser"))


def test_a_photographed_face_is_found_without_any_model_file(parser):
    from skimage.data import astronaut

    photograph = torch.from_numpy(astronaut()[:256, 80:336].copy()).float() / 255
    analyzer = cascade_analyzer(parser)
    (face,) = analyzer.find(photograph)
    x, y, width, height = face.box
    assert x < 142 < x + width and y < 115 < y + height
    assert 70 < width < 160 and 0 < face.score <= 1 and face.landmarks is None
    assert analyzer.embedding_size is None


def test_opencv_5_has_no_cascade_and_the_parser_helps(parser, monkeypatch):
    monkeypatch.setattr(cascade_faces, "haar_file", lambda: None)
    assert cascade_analyzer(parser).name == "cascade and parser"


def test_an_opencv_without_the_class_or_without_the_file_has_none(monkeypatch, tmp_path):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    assert haar_file() is None
    monkeypatch.setattr(cv2, "CascadeClassifier", object, raising=False)
    monkeypatch.setattr(cv2, "data", SimpleNamespace(haarcascades=str(tmp_path)), raising=False)
    assert haar_file() is None


def test_opencv_4s_cascade_is_used_where_there_is_one(monkeypatch, tmp_path):
    """The face that more windows agree on is the surer one."""

    class Cascade:
        def __init__(self, path):
            assert path == str(tmp_path / cascade_faces.HAAR)

        def detectMultiScale2(self, grey, *rest, minSize):
            assert grey.shape == (40, 60) and grey.dtype == np.uint8
            return np.array([[1, 2, 30, 30], [20, 2, 24, 24]]), np.array([3, 30])

    (tmp_path / cascade_faces.HAAR).touch()
    monkeypatch.setattr(cv2, "CascadeClassifier", Cascade, raising=False)
    monkeypatch.setattr(cv2, "data", SimpleNamespace(haarcascades=str(tmp_path)), raising=False)
    analyzer = cascade_analyzer(None)
    assert analyzer.name == "haar"
    surer, other = analyzer.find(torch.rand(40, 60, 3))
    assert surer.box == (20.0, 2.0, 24.0, 24.0) and other.box == (1.0, 2.0, 30.0, 30.0)
    assert other.score == 0.5 < surer.score


def test_a_picture_without_a_face_gives_none(parser):
    assert cascade_analyzer(parser).find(torch.full((80, 120, 3), 0.5)) == []
