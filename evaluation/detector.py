"""How well the face detector finds the people of held-out scenes."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.face_detector import MIN_FACE, Detections, FaceDetector, overlap
from ..world import Scene, scene

SIZE = 256
RIGHT = 0.5
"""Intersection over union from which a box is right."""
MIN_VISIBLE = 0.5


def _extent(boxes: Tensor) -> Tensor:
    """Side in pixels of a square with the area of each box."""
    return boxes[:, 2:].prod(1).sqrt()


def judge(found: Detections, truth: Scene) -> tuple[int, int, int]:
    """Count the faces found, the faces to find, and the false boxes.

    Faces to find have 24 px or more, of which at least half is visible. Boxes over other faces and
    smaller boxes are ignored. A second box over a face is false.
    """
    boxes = torch.tensor([face.box for face in truth.faces], dtype=torch.float32).view(-1, 4)
    visible = torch.tensor([face.visible for face in truth.faces])
    asked = (_extent(boxes) >= MIN_FACE) & (visible >= MIN_VISIBLE)
    shared = overlap(found.boxes, boxes)
    taken, wrong = torch.zeros(len(boxes), dtype=torch.bool), 0
    for box, row in zip(found.boxes, shared, strict=True):
        face = int(row.argmax())
        if row[face] < RIGHT or (asked[face] and taken[face]):
            wrong += bool(_extent(box[None]) >= MIN_FACE)
            continue
        taken[face] = True
    return int((taken & asked).sum()), int(asked.sum()), wrong


@torch.inference_mode()
def detector_figures(detector: FaceDetector, count: int) -> dict[str, float]:
    """Recall and precision over `count` scenes of 256 px with 1 to 5 people of the split "test"."""
    hits = faces = wrong = 0
    for index in range(count):
        truth = scene(index, SIZE, "test")
        image = torch.from_numpy(truth.image)[None].float() / 255
        found = judge(detector.find(image)[0], truth)
        hits, faces, wrong = hits + found[0], faces + found[1], wrong + found[2]
    return {
        "detector_recall": hits / max(faces, 1),
        "detector_precision": hits / max(hits + wrong, 1),
    }
