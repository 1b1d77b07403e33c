"""How well hair is masked, on photographs whose hair was outlined by hand as polygons."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from ..models.face_parser import FaceParser
from ..techniques.face_mask import face_mask
from ..training.starter.photographs import read_picture

OUTLINES = Path(__file__).parent / "assets" / "hair_outlines.json"
"""By picture: the polygons around the hair, and those of holes in them."""


def outlined(picture: dict, height: int, width: int) -> np.ndarray:
    """Draw the hair of one picture, bool [H, W]."""
    drawn = np.zeros((height, width), np.uint8)
    for value, kind in ((1, "hair"), (0, "holes")):
        for points in picture.get(kind, ()):
            cv2.fillPoly(drawn, [np.array(points, np.float32).round().astype(np.int32)], value)
    return drawn > 0


def hair_iou(folder: Path, parser: FaceParser, every: int = 1) -> dict[str, float]:
    """Mean IoU of the hair mask with the outlines of every `every`-th picture, as `hair_iou`.

    The result is empty if the folder has none of the outlined pictures.
    """
    pictures = json.loads(OUTLINES.read_text(encoding="utf-8"))
    found = []
    for name, outline in list(pictures.items())[::every]:
        path = folder / name
        if not path.is_file():
            continue
        pixels = read_picture(path)
        image = torch.from_numpy(pixels).float()[None] / 255
        drawn = outlined(outline, *pixels.shape[:2])
        marked = face_mask(image, parser, ("hair",), which="largest").mask[0].numpy() > 0.5
        found.append(float((marked & drawn).sum() / max((marked | drawn).sum(), 1)))
    return {"hair_iou": float(np.mean(found))} if found else {}
