"""Photographs of people who do not exist, for training; a fixed tenth is held out.

A folder holds the pictures, `faces.jsonl` (one line for each picture: file, width, height, and
faces with box, score and landmarks) and, optionally, `labels.csv` (one line for each picture, with
the column `file` first). The model card says where to get such a folder; the project ships none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np

from ...models import picture_files

Split = Literal["train", "test"]

LANDMARKS = 478
"""Number of points of MediaPipe's face mesh with irises."""
HELD_OUT = 10
"""One picture out of this many is held out."""
SURE = 0.6
"""Faces with a lower score may be false ones."""


@dataclass(frozen=True)
class Photograph:
    """A picture uint8 [H, W, 3] with what is known about it.

    boxes float32 [N, 4] as (x, y, width, height) in pixels, the surest face first; scores float32
    [N]; landmarks float32 [N, 478, 2] as (x, y) in pixels, NaN where a face has none; labels: the
    columns of labels.csv, empty if the picture has no line there.
    """

    file: str
    image: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    labels: dict[str, str]


def split_of(file: str) -> Split:
    """The split of a picture, which depends on its file's name alone."""
    return "test" if crc32(Path(file).stem.encode()) % HELD_OUT == 0 else "train"


def read_photographs(folder: str | Path, split: Split) -> list[Photograph]:
    """Return the photographs of one split, in the order of `faces.jsonl`.

    Raises FileNotFoundError when the folder, its `faces.jsonl` or a picture is missing, and
    ValueError for a file that cannot be read; both name the file.
    """
    folder = Path(folder)
    labels = _labels(folder / "labels.csv")
    return [
        _photograph(folder, line, labels.get(line["file"], {}))
        for line in face_lines(folder)
        if split_of(line["file"]) == split
    ]


def face_lines(folder: str | Path) -> Iterator[dict]:
    """Yield the entries of a folder's `faces.jsonl`. Raises as `read_photographs`."""
    path = Path(folder) / "faces.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: a folder of photographs needs it beside the pictures, with one "
            "line for each picture: file, width, height and faces."
        )
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            facts = json.loads(line)
            named = {"file": facts["file"], "faces": facts["faces"]}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: no file and faces of a picture ({error!r})."
            ) from error
        yield facts | named


def read_picture(path: Path) -> np.ndarray:
    """Return a picture file as uint8 [H, W, 3]. Raises FileNotFoundError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"The picture {path} is missing; faces.jsonl beside it names it.")
    return np.array(picture_files.read_picture(path))


def _photograph(folder: Path, line: dict, labels: dict[str, str]) -> Photograph:
    faces = sorted(line["faces"], key=lambda face: -face["score"])
    missing = np.full((LANDMARKS, 2), np.nan, np.float32)
    landmarks = [
        missing if face["landmarks"] is None else np.array(face["landmarks"], np.float32)
        for face in faces
    ]
    return Photograph(
        line["file"],
        read_picture(folder / line["file"]),
        np.array([face["box"] for face in faces], np.float32).reshape(-1, 4),
        np.array([face["score"] for face in faces], np.float32),
        np.array(landmarks, np.float32).reshape(-1, LANDMARKS, 2),
        labels,
    )


def _labels(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row.pop("file"): row for row in csv.DictReader(file)}
