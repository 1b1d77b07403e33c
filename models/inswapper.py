"""A network that gives a face another person's identity: files of inswapper's format.

The public file is inswapper_128.onnx of InsightFace, for non-commercial research only. It takes
`target`, an aligned face [1, 3, 128, 128] in 0..1, and `source` [1, 512], an ArcFace vector times
the last matrix of the file's weights; it gives the face anew, in the same pose and light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .face_embedder import TEMPLATE
from .insightface import make_session
from .onnx_file import OnnxFile, last_weight, read_onnx

LICENCE = "InsightFace's inswapper: non-commercial research only"
SIZE, DIMENSIONS = 128, 512
# InsightFace's crops of 128 px: the template of 112 px, eight pixels farther in from the left.
FACE_TEMPLATE = torch.tensor(TEMPLATE) + torch.tensor([8.0, 0.0])

Swap = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class Inswapper:
    """Gives aligned faces another identity."""

    def __init__(self, file: OnnxFile, matrix: np.ndarray, run: Swap) -> None:
        self.name = file.path.name
        self.matrix, self.run = torch.from_numpy(matrix), run
        self.face, self.person = _names(file)

    def swap(self, face: Tensor, person: Tensor) -> Tensor:
        """Return a face [SIZE, SIZE, 3] in 0..1 with the identity of an ArcFace vector [512]."""
        vector = F.normalize(person.detach().cpu().float() @ self.matrix, dim=0)
        pixels = face.detach().cpu().float().clamp(0, 1).movedim(-1, 0)
        given = {self.face: pixels[None].numpy(), self.person: vector[None].numpy()}
        swapped = torch.from_numpy(np.asarray(self.run(given), np.float32))
        return swapped[0].movedim(0, -1).clamp(0, 1).to(face.device)


def load_inswapper(path: str | Path) -> Inswapper:
    """Read a file of inswapper's format.

    Raises FileNotFoundError, or ValueError for a file of another format, saying what it takes.
    """
    file = read_onnx(path)
    if not is_inswapper(file):
        raise ValueError(
            f"{file.path} is no inswapper: it {file.describe()}, and should take a face "
            f"[1, 3, {SIZE}, {SIZE}] and a person [1, {DIMENSIONS}], and give a face. The public "
            "file is inswapper_128.onnx."
        )
    matrix = last_weight(file.path, (DIMENSIONS, DIMENSIONS))
    if matrix is None:
        raise ValueError(
            f"{file.path} holds no matrix of {DIMENSIONS} x {DIMENSIONS} numbers as its last "
            "weight, which leads from ArcFace's vectors to its own. It may have been converted: "
            "get the original file."
        )
    session = make_session(file)
    (output,) = file.outputs
    return Inswapper(file, matrix, lambda given: session.run([output], dict(given))[0])


def is_inswapper(file: OnnxFile) -> bool:
    """Whether a file takes a face of 128 px and 512 numbers, and gives one picture."""
    shapes = sorted(file.inputs.values(), key=len)
    return (
        len(shapes) == 2
        and shapes[0][-1:] == (DIMENSIONS,)
        and shapes[1][1:] == (3, SIZE, SIZE)
        and len(file.outputs) == 1
    )


def _names(file: OnnxFile) -> tuple[str, str]:
    """The names of the two inputs, the face first."""
    face, person = sorted(file.inputs, key=lambda name: -len(file.inputs[name]))
    return face, person
