"""InsightFace's detector (SCRFD) and recognizer (ArcFace) from their ONNX files.

Run by onnxruntime and decoded here; the package `insightface` is not needed. Its pretrained models
are for non-commercial research only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .face_analyzer import FoundFace, Thresholds
from .face_detector import suppress
from .onnx_file import OnnxFile

LICENCE = "InsightFace's pretrained models: non-commercial research only"

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Anchors on each cell of a grid, all of them on the cell's corner."""
SCORE = 0.5
SIDES = (1280, 640, 320)
"""Pixels of the square that a picture is fitted into: small faces want the first, and faces that
fill the picture the last."""
INPUT_SIZE = 112

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def open_session(file: OnnxFile) -> Run:
    """A function from pixels [1, 3, H, W] to the outputs by name, run by onnxruntime.

    Raises ValueError as `make_session`.
    """
    session = make_session(file)
    (name,) = file.inputs
    names = list(file.outputs)
    return lambda pixels: dict(zip(names, session.run(names, {name: pixels}), strict=True))


def make_session(file: OnnxFile) -> Any:
    """Onnxruntime's session of a file, on CUDA where there is one.

    Raises ValueError where onnxruntime is missing or cannot read the file.
    """
    try:
        # Imported late: only users of InsightFace's files need it.
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures
    except ImportError as error:
        raise ValueError(
            f"{file.path.name} is run by onnxruntime, which is not installed: "
            "pip install onnxruntime (or onnxruntime-gpu). YuNet and SFace do without it."
        ) from error
    known = onnxruntime.get_available_providers()
    providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in known]
    try:
        return onnxruntime.InferenceSession(str(file.path), providers=providers)
    except (
        failures.Fail,
        failures.InvalidGraph,
        failures.InvalidProtobuf,
        failures.NotImplemented,
        failures.InvalidArgument,
    ) as error:
        raise ValueError(f"onnxruntime cannot run {file.path}: {error}") from error


def is_scrfd(file: OnnxFile) -> bool:
    """Whether a file takes a picture and gives scores, boxes and landmarks at three strides."""
    return _takes_a_picture(file) and len(file.outputs) == 3 * len(STRIDES)


def is_arcface(file: OnnxFile) -> bool:
    """Whether a file makes 512 numbers of a face of 112 x 112 pixels."""
    return _takes_a_face(file) and next(iter(file.outputs.values()))[-1:] == (512,)


def _takes_a_face(file: OnnxFile) -> bool:
    shape = next(iter(file.inputs.values()), ())
    return (
        _takes_a_picture(file) and shape[2:] == (INPUT_SIZE, INPUT_SIZE) and len(file.outputs) == 1
    )


def _takes_a_picture(file: OnnxFile) -> bool:
    shapes = list(file.inputs.values())
    return len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3


class Scrfd:
    """Guo et al., "Sample and Computation Redistribution for Efficient Face Detection"."""

    def __init__(self, file: OnnxFile, run: Run) -> None:
        self.run = run
        height, width = next(iter(file.inputs.values()))[2:]
        self.fixed = (height, width) if height and width else None

    def find(self, image: Tensor) -> list[FoundFace]:
        """Return the faces of a picture [H, W, 3] in 0..1, the surest first."""
        pixels = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
        long_side = max(image.shape[:2])
        sizes = (
            [self.fixed]
            if self.fixed
            else [(side, side) for side in SIDES if side <= max(long_side, SIDES[1])]
        )
        parts = [self._find_at(pixels, *size) for size in sizes]
        boxes, scores, landmarks = (torch.cat(part) for part in zip(*parts, strict=True))
        kept = suppress(boxes, scores)
        return [
            FoundFace(tuple(boxes[i].tolist()), float(scores[i]), landmarks[i].to(image.device))
            for i in kept.tolist()
        ]

    def _find_at(self, pixels: np.ndarray, height: int, width: int) -> tuple[Tensor, ...]:
        """Boxes [N, 4], scores [N] and landmarks [N, 5, 2], in the picture's pixels."""
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas = np.zeros((height, width, 3), np.float32)
        canvas[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=way)
        outputs = self.run(((canvas - 127.5) / 128).transpose(2, 0, 1)[None])
        boxes, scores, landmarks = decode(outputs, height, width)
        return boxes / scale, scores, landmarks / scale


def decode(outputs: Mapping[str, np.ndarray], height: int, width: int) -> tuple[Tensor, ...]:
    """Boxes (x, y, w, h) [N, 4], scores [N] and landmarks [N, 5, 2] surer than SCORE.

    For each anchor a score, the distances to the box's four sides and the landmarks' offsets, in
    units of the stride. Raises ValueError where the outputs are of other shapes.
    """
    found = []
    tables: dict[tuple[int, int], Tensor] = {}
    for table in outputs.values():
        flat = torch.from_numpy(np.asarray(table, np.float32)).reshape(-1, table.shape[-1])
        tables[flat.shape] = flat
    for stride in STRIDES:
        rows, columns = -(-height // stride), -(-width // stride)
        count = rows * columns * ANCHORS
        try:
            scores, sides, points = (tables[(count, width)] for width in (1, 4, 10))
        except KeyError:
            raise ValueError(
                f"The detector gave tables of {', '.join(map(str, map(tuple, tables)))}, not of "
                f"({count}, 1), ({count}, 4) and ({count}, 10): it is no SCRFD with landmarks "
                "(such as det_10g.onnx)."
            ) from None
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        anchors = torch.stack([x, y], -1).reshape(-1, 2).repeat_interleave(ANCHORS, 0) * stride
        sure = scores[:, 0] >= SCORE
        anchors, sides, points = anchors[sure], sides[sure] * stride, points[sure] * stride
        corners = anchors - sides[:, :2]
        boxes = torch.cat([corners, sides[:, :2] + sides[:, 2:]], 1)
        found.append((boxes, scores[sure, 0], anchors[:, None] + points.unflatten(1, (5, 2))))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


class ArcFace:
    """Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition"."""

    # The two numbers at which InsightFace's own demonstration says "not the same person" and
    # "the same person".
    thresholds = Thresholds(0.28, 0.20, "InsightFace's demonstration")

    def __init__(self, file: OnnxFile, run: Run) -> None:
        self.run = run
        self.size = next(iter(file.outputs.values()))[-1]
        # Files converted from MXNet begin with the normalisation; those from PyTorch lack it.
        first = file.operations[:8]
        self.normalises = "Sub" in first and "Mul" in first

    def embed(self, faces: Tensor) -> Tensor:
        """Unit vectors [N, 512] of faces on the template, [N, 112, 112, 3] in 0..1."""
        pixels = faces.detach().cpu().float().clamp(0, 1).movedim(-1, 1) * 255
        if not self.normalises:
            pixels = (pixels - 127.5) / 127.5
        # One by one: some files have a batch of one built in.
        rows = [next(iter(self.run(face[None].numpy()).values())) for face in pixels]
        vectors = torch.from_numpy(np.concatenate(rows)).float()
        return F.normalize(vectors, dim=1).to(faces.device)
