"""OpenCV's own face detector (YuNet) and recognizer (SFace) from their ONNX files.

OpenCV runs them itself. YuNet is under the MIT licence, SFace under Apache-2.0.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .face_analyzer import FoundFace, Thresholds
from .face_detector import suppress
from .onnx_file import OnnxFile

YUNET_LICENCE = "MIT"
SFACE_LICENCE = "Apache-2.0"

SCORE = 0.7
OVERLAP = 0.3
LONG_SIDES = (1280, 320)
"""Pixels of a picture's longer side: YuNet knows faces of 10 to 300 px, so that small faces want
the first and faces that fill the picture the second."""
FACE_SIZE = 112
EMBEDDING_SIZE = 128


def is_yunet(file: OnnxFile) -> bool:
    """Whether a file gives YuNet's twelve outputs, as of March 2023."""
    return {
        f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
    } <= set(file.outputs)


def is_sface(file: OnnxFile) -> bool:
    """Whether a file makes 128 numbers of a face of 112 x 112 pixels."""
    inputs, outputs = list(file.inputs.values()), list(file.outputs.values())
    return (
        len(inputs) == len(outputs) == 1
        and inputs[0][1:] == (3, FACE_SIZE, FACE_SIZE)
        and outputs[0][-1:] == (EMBEDDING_SIZE,)
    )


def _refuse(file: OnnxFile, error: cv2.error) -> ValueError:
    return ValueError(
        f"OpenCV {cv2.__version__} cannot run {file.path}: {str(error).strip()}. Get the file "
        "again, or a newer OpenCV."
    )


class YuNet:
    """Wu et al., "YuNet: A Tiny Millisecond-level Face Detector"."""

    def __init__(self, file: OnnxFile) -> None:
        """Raises ValueError where OpenCV cannot read the file."""
        try:
            self.network = cv2.FaceDetectorYN.create(str(file.path), "", (320, 320), SCORE, OVERLAP)
        except cv2.error as error:
            raise _refuse(file, error) from error

    def find(self, image: Tensor) -> list[FoundFace]:
        """Return the faces of a picture [H, W, 3] in 0..1, the surest first."""
        long_side = max(image.shape[:2])
        scales = {min(side / long_side, 1.0) for side in LONG_SIDES}
        pixels = _as_bgr(image)
        rows = torch.cat([self._find_at(pixels, scale) for scale in sorted(scales)])
        boxes, scores = rows[:, :4], rows[:, 14]
        return [
            FoundFace(
                tuple(boxes[i].tolist()),
                float(scores[i]),
                rows[i, 4:14].unflatten(0, (5, 2)).to(image.device),
            )
            for i in suppress(boxes, scores).tolist()
        ]

    def _find_at(self, pixels: np.ndarray, scale: float) -> Tensor:
        """Rows of box, landmarks and score [N, 15] in the picture's pixels."""
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        if scale < 1:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self.network.setInputSize(size)
        _, found = self.network.detect(pixels)
        rows = torch.zeros(0, 15) if found is None else torch.from_numpy(found).float()
        return torch.cat([rows[:, :14] / scale, rows[:, 14:]], 1)


class SFace:
    """Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition"."""

    size = EMBEDDING_SIZE
    # OpenCV's documentation: the best cosines on LFW, the easiest of its five test sets, and on
    # CFP-FP, the hardest.
    thresholds = Thresholds(0.363, 0.212, "OpenCV's documentation")

    def __init__(self, file: OnnxFile) -> None:
        """Raises ValueError where OpenCV cannot read the file."""
        try:
            self.network = cv2.FaceRecognizerSF.create(str(file.path), "")
        except cv2.error as error:
            raise _refuse(file, error) from error

    def embed(self, faces: Tensor) -> Tensor:
        """Unit vectors [N, 128] of faces on the template, [N, 112, 112, 3] in 0..1."""
        rows = [self.network.feature(_as_bgr(face)).copy() for face in faces]
        return F.normalize(torch.from_numpy(np.concatenate(rows)), dim=1).to(faces.device)


def _as_bgr(image: Tensor) -> np.ndarray:
    """A picture [H, W, 3] in 0..1 as OpenCV has them: 8 bits, blue first."""
    pixels = (image.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    return np.ascontiguousarray(pixels[..., ::-1])
