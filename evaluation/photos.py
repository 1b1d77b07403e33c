"""How well faces are found and outlined in photographs, against an independent judge.

A folder holds `people`, `headshots`, `groups` and `synthetic`, each with pictures and a
`faces.jsonl` with the faces that MediaPipe's detectors and face mesh found. Of `synthetic` only the
held-out pictures are used. The judge is not the truth: about one answer in fifty is wrong, and the
starter's training photographs were labelled by it, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.face_detector import MIN_FACE, overlap
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import starter_file
from ..techniques.face_finding import find_faces
from ..techniques.face_mask import face_mask
from ..training.starter.photo_labels import OVAL, polygon
from ..training.starter.photographs import SURE, face_lines, read_picture, split_of
from .hair_outlines import hair_iou
from .photo_identity import identity_figures

PORTRAITS = ("people", "headshots", "synthetic")
GROUPS = "groups"
FOUND = 0.3
"""Intersection over union from which a box finds a face."""
TOUCHED = 0.1
"""Fraction of the smaller of two boxes from which they are of the same face."""
EVERY = 12
"""A quick measurement takes every 12th picture, and the first 12 people."""
QUICK_PEOPLE = 12
LARGE = (3000, 4000)


@dataclass(frozen=True)
class JudgedPicture:
    """A picture [H, W, 3] in 0..1 and the judge's faces: boxes [N, 4], scores [N], landmarks."""

    file: str
    image: Tensor
    boxes: Tensor
    scores: Tensor
    landmarks: list[np.ndarray | None]

    @property
    def asked(self) -> Tensor:
        """Which faces [N] must be found: those with a high score, of 24 px or more."""
        return (self.scores >= SURE) & (self.boxes[:, 2:].prod(1).sqrt() >= MIN_FACE)


@dataclass
class Findings:
    """Counts of faces to find, found ones and false boxes; pictures and boxes of all mistakes."""

    pictures: int = 0
    asked: int = 0
    found: int = 0
    missed: list[tuple[str, list[int]]] = field(default_factory=list)
    false: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / max(self.asked, 1)


@dataclass(frozen=True)
class PhotoReport:
    """Figures by name, the numbers of pictures and faces behind them, and every mistake."""

    figures: dict[str, float]
    samples: dict[str, int]
    missed: list[tuple[str, list[int]]]
    false: list[tuple[str, list[int]]]


def judged(folder: Path, part: str, every: int = 1) -> Iterator[JudgedPicture]:
    """Yield the pictures of one part; of `synthetic` only those held out.

    Raises FileNotFoundError or ValueError as `read_photographs`.
    """
    lines = [
        line
        for line in face_lines(folder / part)
        if part != "synthetic" or split_of(line["file"]) == "test"
    ]
    for line in lines[::every]:
        faces = line["faces"]
        image = torch.from_numpy(read_picture(folder / part / line["file"])).float() / 255
        yield JudgedPicture(
            f"{part}/{line['file']}",
            image,
            torch.tensor([face["box"] for face in faces], dtype=torch.float32).view(-1, 4),
            torch.tensor([face["score"] for face in faces], dtype=torch.float32),
            [None if f["landmarks"] is None else np.float32(f["landmarks"]) for f in faces],
        )


def compare(picture: JudgedPicture, boxes: Sequence[Sequence[float]], findings: Findings) -> None:
    """Add to `findings` what the boxes (x, y, w, h) found; each finds its nearest face."""
    mine = torch.tensor([list(box) for box in boxes], dtype=torch.float32).view(-1, 4)
    shared = overlap(mine, picture.boxes)
    open_ = shared.clone()
    taken = torch.zeros(len(picture.boxes), dtype=torch.bool)
    while open_.numel() and open_.max() >= FOUND:
        one, face = divmod(int(open_.argmax()), open_.shape[1])
        taken[face] = True
        open_[one], open_[:, face] = 0, 0
    asked = picture.asked
    findings.pictures += 1
    findings.asked += int(asked.sum())
    findings.found += int((asked & taken).sum())
    for box in picture.boxes[asked & ~taken].tolist():
        findings.missed.append((picture.file, [round(value) for value in box]))
    touched = overlap(mine, picture.boxes, of_smaller=True) >= TOUCHED
    for box, near in zip(mine.tolist(), touched, strict=True):
        if not near.any():
            findings.false.append((picture.file, [round(value) for value in box]))


def oval_iou(picture: JudgedPicture, mask: Tensor) -> float | None:
    """IoU of a face mask [H, W] with the oval of the largest sure face, or None without one.

    Only that face and its surroundings count, because the mask may cover other faces.
    """
    sizes = picture.boxes[:, 2:].prod(1) * (picture.scores >= SURE)
    if not len(sizes) or sizes.max() <= 0 or picture.landmarks[int(sizes.argmax())] is None:
        return None
    face = int(sizes.argmax())
    oval = np.zeros(mask.shape, np.uint8)
    corners = polygon(picture.landmarks[face], OVAL)
    cv2.fillPoly(oval, [(corners * 16).round().astype(np.int32)], 1, cv2.LINE_8, 4)
    x, y, w, h = picture.boxes[face].tolist()
    rows = slice(max(0, int(y - h / 2)), int(y + 1.5 * h))
    columns = slice(max(0, int(x - w / 2)), int(x + 1.5 * w))
    marked, drawn = mask.numpy()[rows, columns] > 0.5, oval[rows, columns] > 0
    return float((marked & drawn).sum() / max((marked | drawn).sum(), 1))


def _seconds(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def large_group(pictures: Sequence[JudgedPicture]) -> Tensor:
    """Group photographs side by side in one of 4000 x 3000 pixels."""
    height, width = LARGE
    canvas = torch.zeros(height, width, 3)
    top = number = 0
    while top < height:
        left = tallest = 0
        while left < width:
            tile = pictures[number % len(pictures)].image[: height - top, : width - left]
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left, tallest = left + tile.shape[1], max(tallest, tile.shape[0])
            number += 1
        top += tallest
    return canvas


@torch.inference_mode()
def evaluate_photos(
    folder: str | Path, quick: bool, say: Callable[[str], None], parser: FaceParser | None = None
) -> PhotoReport:
    """Measure finding, outlines, identity and time; say(what) is called before each part.

    The default parser is the built-in one. Raises FileNotFoundError or ValueError, naming the file,
    when the folder or a file in it is missing or cannot be read.
    """
    folder, every = Path(folder), EVERY if quick else 1
    parser = parser or load_face_parser(starter_file("face_parser"))
    portraits, outlines = Findings(), []
    figures: dict[str, float] = {}
    for part in PORTRAITS:
        say(f"portraits: {part}")
        before = (portraits.asked, portraits.found, len(outlines))
        for picture in judged(folder, part, every):
            result = face_mask(picture.image[None], parser, ("face",))
            compare(picture, result.boxes[0], portraits)
            iou = oval_iou(picture, result.mask[0])
            outlines += [] if iou is None else [iou]
        asked, found = portraits.asked - before[0], portraits.found - before[1]
        figures[f"recall_{part}"] = found / max(asked, 1)
        figures[f"oval_iou_{part}"] = float(np.mean(outlines[before[2] :]))
    say("groups")
    groups, crowd = Findings(), []
    for picture in judged(folder, GROUPS, every):
        compare(picture, [face.box for face in find_faces(picture.image, parser)], groups)
        crowd.append(picture)
    pictures = portraits.pictures + groups.pictures
    false = portraits.false + groups.false
    figures |= {
        "recall_portraits": portraits.recall,
        "recall_groups": groups.recall,
        "false_per_picture": len(false) / pictures,
        "oval_iou": float(np.mean(outlines)),
        "oval_iou_p10": float(np.percentile(outlines, 10)),
    }
    say("hair")
    figures |= hair_iou(folder, parser, max(1, every // 4))
    say("identity")
    figures |= identity_figures(folder, QUICK_PEOPLE if quick else None)
    say("seconds")
    one = next(judged(folder, "people")).image
    scale = 512 / max(one.shape[:2])
    size = (round(one.shape[1] * scale), round(one.shape[0] * scale))
    small = torch.from_numpy(cv2.resize(one.numpy(), size, interpolation=cv2.INTER_AREA))
    large = large_group(crowd)
    figures["seconds_512"] = _seconds(lambda: face_mask(small[None], parser, ("face",)), 3)
    figures["seconds_4000"] = _seconds(lambda: face_mask(large[None], parser, ("face",)), 1)
    samples = {
        "portraits": portraits.pictures,
        "portrait_faces": portraits.asked,
        "outlines": len(outlines),
        "groups": groups.pictures,
        "group_faces": groups.asked,
    }
    return PhotoReport(figures, samples, portraits.missed + groups.missed, false)
