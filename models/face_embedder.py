"""A face embedder: the identity of a face as a unit vector. Its input is aligned as for ArcFace,
112 x 112 pixels with the eyes, the nose and the corners of the mouth on fixed points; the cosine of
two vectors says how alike two people are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoints import load_strictly, read_weights
from .managed_network import ManagedNetwork
from .small_network import Residual, as_pixels, convolution

INPUT_SIZE = 112
DIMENSIONS = 128
WIDTHS = (24, 40, 80, 128)
# Left eye, right eye, tip of the nose, corners of the mouth, as (x, y) indices of pixels.
TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
MAX_SAMPLES = 8
"""More than this many samples a pixel and direction are not taken, however large the face."""


class EmbedderNetwork(nn.Module):
    """A small residual network [N, 3, 112, 112] -> [N, D], not yet normalised.

    The last grid of 7 x 7 cells is weighed cell by cell before it is summed, for an aligned face
    has its chin always in the same cell (the global depthwise convolution of Chen et al.,
    "MobileFaceNets").
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, dimensions: int = DIMENSIONS) -> None:
        super().__init__()
        first, second, third, last = widths
        self.body = nn.Sequential(
            convolution(3, first, 2),
            convolution(first, second, 2),
            Residual(second),
            convolution(second, third, 2),
            Residual(third),
            convolution(third, last, 2),
        )
        self.weigh = nn.Sequential(
            nn.Conv2d(last, last, INPUT_SIZE // 16, groups=last, bias=False), nn.BatchNorm2d(last)
        )
        self.project = nn.Sequential(
            nn.Linear(last, dimensions, bias=False), nn.BatchNorm1d(dimensions)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.project(self.weigh(self.body(pixels)).flatten(1))


class FaceEmbedder(ManagedNetwork):
    """Unit vectors of aligned faces."""

    @torch.no_grad()
    def embed(self, faces: Tensor) -> Tensor:
        """Return [N, D] of unit length from aligned faces [N, 112, 112, 3] in 0..1.

        A face and its mirror image count alike. Raises ValueError for another shape.
        """
        if faces.ndim != 4 or faces.shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
            raise ValueError(
                f"An embedder takes faces [N, {INPUT_SIZE}, {INPUT_SIZE}, 3], not "
                f"{list(faces.shape)}. Align them first with align_faces."
            )
        device, dtype = self.prepare()
        pixels = as_pixels(faces).to(device, dtype)
        summed = self.network(pixels) + self.network(pixels.flip(3))
        return F.normalize(summed.float(), dim=1).to(faces.device)


def similarity(source: Tensor, target: Tensor) -> Tensor:
    """Return the rotation, scale and shift [N, 2, 3] which best bring points to others.

    source [N, K, 2], target [K, 2]; least squares without mirroring (Umeyama, "Least-squares
    estimation of transformation parameters between two point patterns", equations 40 to 42; in the
    plane they are a complex division). scikit-image does one pair of sets at a time; this does a
    batch, on any device. Raises ValueError where all points of one set coincide.
    """
    source, target = source.double(), target.double().expand(len(source), -1, -1)
    from_middle, to_middle = source.mean(1), target.mean(1)
    a = torch.view_as_complex((source - from_middle[:, None]).contiguous())
    b = torch.view_as_complex((target - to_middle[:, None]).contiguous())
    spread = a.abs().square().sum(1)
    if (spread < 1e-6).any():
        raise ValueError("The five landmarks of a face lie on one point: it cannot be aligned.")
    turn = (a.conj() * b).sum(1) / spread
    linear = torch.stack([turn.real, -turn.imag, turn.imag, turn.real], 1).view(-1, 2, 2)
    shift = to_middle - (linear @ from_middle[..., None])[..., 0]
    return torch.cat([linear, shift[..., None]], 2)


def align_faces(image: Tensor, landmarks: Tensor) -> Tensor:
    """Return each face of a picture on the five-point template, [N, 112, 112, 3].

    image [H, W, 3] in 0..1; landmarks [N, 5, 2] as (x, y) indices of pixels: left eye, right eye,
    tip of the nose, left and right corner of the mouth, as the viewer sees them. Bilinear, with
    several samples a pixel where the face is shrunk; black beyond the picture. Raises ValueError
    for other shapes.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"align_faces takes one picture [H, W, 3], not {list(image.shape)}.")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise ValueError(f"align_faces takes landmarks [N, 5, 2], not {list(landmarks.shape)}.")
    if not len(landmarks):
        return image.new_zeros(0, INPUT_SIZE, INPUT_SIZE, 3)
    onto = similarity(landmarks, torch.tensor(TEMPLATE, device=landmarks.device))
    return torch.cat([warp_face(image, matrix, INPUT_SIZE) for matrix in onto])


def warp_face(image: Tensor, onto: Tensor, size: int) -> Tensor:
    """One aligned face [1, size, size, 3]; `onto` [2, 3] leads from the picture to the template."""
    scale = float(torch.linalg.det(onto[:, :2]).sqrt())
    samples = min(max(round(1 / scale), 1), MAX_SAMPLES)
    side = size * samples
    inverse = torch.linalg.inv(onto[:, :2])
    axis = (torch.arange(side, dtype=torch.float64, device=onto.device) + 0.5) / samples - 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = (torch.stack([x, y], -1) - onto[:, 2]) @ inverse.T
    # grid_sample counts from -1 to 1 across the picture, border to border.
    extent = points.new_tensor([image.shape[1], image.shape[0]])
    grid = ((2 * points + 1) / extent - 1).to(image)
    pixels = image.movedim(-1, 0)[None]
    warped = F.grid_sample(pixels, grid[None], padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(warped, samples).movedim(1, -1)


def load_face_embedder(path: str | Path) -> FaceEmbedder:
    """Read an embedder of this repository's layout, at any width.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    path = Path(path)
    weights = read_weights(path)
    sizes = [weights.get(f"body.{block}.0.weight") for block in (0, 1, 3, 5)]
    head = weights.get("project.0.weight")
    if head is None or any(size is None for size in sizes):
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not a face embedder of Visage ({len(weights)} tensors, such as {sample}). "
            "Choose the built-in starter, or a file that `visage train starter` wrote."
        )
    with torch.device("meta"):
        network = EmbedderNetwork([len(size) for size in sizes], len(head))
    return FaceEmbedder(load_strictly(network, weights, path, "a face embedder"), path.stem)
