"""Photographs for training: what is read, what is held out, what is refused."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from visage.training.starter.photographs import read_photographs, split_of

RED = (200, 30, 10)


@pytest.fixture
def folder(tmp_path):
    """Forty pictures: the even ones with a sure face and one without landmarks before it."""
    lines = []
    for number in range(40):
        name = f"face_{number:02d}.png"
        cv2.imwrite(str(tmp_path / name), np.full((8, 12, 3), RED[::-1], np.uint8))
        sure = {"box": [1, 2, 5, 5], "score": 0.9, "landmarks": [[3.0, 4.0]] * 478}
        doubtful = {"box": [7, 1, 3, 3], "score": 0.5, "landmarks": None}
        faces = [doubtful, sure] if number % 2 == 0 else []
        lines.append(json.dumps({"file": name, "width": 12, "height": 8, "faces": faces}))
    (tmp_path / "faces.jsonl").write_text("\n".join(lines))
    (tmp_path / "labels.csv").write_text("file,gender,age\nface_00.png,w,old\n")
    return tmp_path


def test_every_photograph_is_in_one_split_and_about_a_tenth_is_held_out():
    splits = [split_of(f"sfhq_{number:04d}.jpg") for number in range(2000)]
    assert set(splits) == {"train", "test"}
    assert 0.08 < splits.count("test") / 2000 < 0.12
    assert split_of("sfhq_0004.png") == split_of("elsewhere/sfhq_0004.jpg")


def test_a_photograph_comes_with_its_faces_the_surest_first_and_its_labels(folder):
    train, test = (read_photographs(folder, split) for split in ("train", "test"))
    assert len(train) + len(test) == 40
    assert not {p.file for p in train} & {p.file for p in test}
    photos = {p.file: p for p in train + test}
    first = photos["face_00.png"]
    assert first.image.shape == (8, 12, 3)
    assert tuple(first.image[0, 0]) == RED
    assert first.boxes.tolist() == [[1, 2, 5, 5], [7, 1, 3, 3]]
    assert first.landmarks.shape == (2, 478, 2)
    assert (first.landmarks[0] == [3, 4]).all()
    assert np.isnan(first.landmarks[1]).all()
    assert first.labels == {"gender": "w", "age": "old"}
    assert photos["face_01.png"].boxes.shape == (0, 4)
    assert photos["face_01.png"].labels == {}


def test_what_is_missing_or_broken_is_named(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match=r"faces\.jsonl"):
        read_photographs(empty, "train")
    (empty / "faces.jsonl").write_text('{"file": "a.png"}')
    with pytest.raises(ValueError, match="line 1"):
        read_photographs(empty, "train")
    for name in ("face_00.png", "face_01.png"):
        (folder / name).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"face_0.\.png"):
        for split in ("train", "test"):
            read_photographs(folder, split)
    for name in ("face_00.png", "face_01.png"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"face_0.\.png"):
        for split in ("train", "test"):
            read_photographs(folder, split)
