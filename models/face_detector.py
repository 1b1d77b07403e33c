"""A face detector: boxes and five landmarks of the faces in a picture, however large it is.

One fully convolutional network looks at the picture, at half of it, at a quarter of it and so on:
it knows faces of about 18 to 72 pixels, and each face is that large in one of them. For every cell
of 8 x 8 pixels it says how likely a face has its centre there, and where that face's box and
landmarks lie (Zhou et al., "Objects as Points").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoints import load_strictly, read_weights
from .managed_network import ManagedNetwork
from .small_network import Residual, as_pixels, convolution, folded
from .starter_files import starter_file

STRIDE = 8
MIN_FACE = 24
"""Pixels of the smallest face that is looked for, unless the caller says otherwise."""
TOLERANCE = 0.75
"""A box may be as much smaller than the smallest face that is looked for."""
SCORE = 0.4
SAME_FACE = 0.35
"""Boxes whose intersection is a larger part of their union are of one face."""
OUTPUTS = 15
"""One score, four numbers of the box, ten of the landmarks."""
WIDTHS = (16, 32, 48)
BLOCKS = 3
_MIN_LEVEL = 32
TILE = 1024
"""A larger picture is looked at in squares of so many pixels, to bound the memory."""
OVERLAP = 128
"""Pixels by which these reach into each other: more than half of what a cell sees."""


@dataclass(frozen=True)
class Detections:
    """Faces of one picture, the surest first.

    boxes [N, 4] as (x, y, w, h) in pixels from the picture's border; scores [N] in 0..1; landmarks
    [N, 5, 2] as (x, y) indices of pixels, which `align_faces` takes: left eye, right eye, tip of
    the nose, left and right corner of the mouth, as the viewer sees them.
    """

    boxes: Tensor
    scores: Tensor
    landmarks: Tensor


class DetectorNetwork(nn.Module):
    """[N, 3, H, W] with sides that 8 divides -> [N, 15, H / 8, W / 8]; each cell sees 111 px,
    32 more for each block beyond three."""

    def __init__(self, widths: Sequence[int] = WIDTHS, blocks: int = BLOCKS) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Sequential(
            convolution(3, first, 2), convolution(first, second, 2), convolution(second, third, 2)
        )
        self.blocks = nn.Sequential(*(Residual(third) for _ in range(blocks)))
        self.head = nn.Conv2d(third, OUTPUTS, 1)
        # Nearly all cells are empty: start by saying so (Lin et al., "Focal Loss", section 3.3).
        nn.init.constant_(self.head.bias[:1], -4.0)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(pixels)))


def decode(outputs: Tensor, score: float) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [N, 4], scores [N] and landmarks [N, 5, 2] from one picture's [15, h, w], in pixels.

    Only cells that are surer than their eight neighbours are taken.
    """
    sure = outputs[0].sigmoid()
    peaks = F.max_pool2d(sure[None], 3, 1, 1)[0] == sure
    rows, columns = torch.nonzero(peaks & (sure >= score), as_tuple=True)
    found = outputs[1:, rows, columns].T
    cells = torch.stack([columns, rows], 1) + 0.5
    sizes = found[:, 2:4].clamp(-3, 5).exp() * STRIDE
    corners = (cells + found[:, :2]) * STRIDE - sizes / 2
    landmarks = (cells[:, None] + found[:, 4:].unflatten(1, (5, 2))) * STRIDE
    return torch.cat([corners, sizes], 1), sure[rows, columns], landmarks


def overlap(boxes: Tensor, others: Tensor, of_smaller: bool = False) -> Tensor:
    """Intersection over union, or over the smaller of both, of boxes (x, y, w, h): [N, M]."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(
        boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:]
    )
    shared = (high - low).clamp(min=0).prod(2)
    areas, other_areas = boxes[:, 2:].prod(1)[:, None], others[:, 2:].prod(1)[None]
    if of_smaller:
        return shared / torch.minimum(areas, other_areas)
    return shared / (areas + other_areas - shared)


def suppress(boxes: Tensor, scores: Tensor, most: float = SAME_FACE, inside: float = 0.7) -> Tensor:
    """Indices of the boxes that remain, the surest first (non-maximum suppression).

    A box goes when a surer one shares more than `most` of their union with it, or more than
    `inside` of the smaller of the two, as when a nose is taken for a face.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    rivals = (overlap(boxes, boxes) > most) | (overlap(boxes, boxes, of_smaller=True) > inside)
    kept: list[int] = []
    for index in range(len(order)):
        if not rivals[index, kept].any():
            kept.append(index)
    return order[kept]


class FaceDetector(ManagedNetwork):
    """Finds faces, at any size and in pictures of any size."""

    @torch.no_grad()
    def find(
        self, image: Tensor, score: float = SCORE, smallest: int = MIN_FACE
    ) -> list[Detections]:
        """Return the faces of each picture of a batch [B, H, W, 3] in 0..1.

        Faces of fewer than `smallest` pixels are not looked for: a larger number is faster.
        Raises ValueError for another shape or a `smallest` under 8.
        """
        if image.ndim != 4 or image.shape[3] != 3:
            raise ValueError(f"A detector takes pictures [B, H, W, 3], not {list(image.shape)}.")
        if smallest < 8:
            raise ValueError(f"Faces of {smallest} px cannot be told: look for 8 px or more.")
        return [self._find_in(picture, score, smallest) for picture in image]

    @torch.no_grad()
    def certainty(self, pictures: Tensor, boxes: Tensor) -> Tensor:
        """How surely each picture [N, H, W, 3] in 0..1 shows a face where its box [N, 4] is: [N].

        It is the best score of a face of 18 to 72 px that overlaps the box, or 0.
        """
        device, dtype = self.prepare()
        outputs = self.network(_padded(as_pixels(pictures).to(device, dtype))).float().cpu()
        best = []
        for output, box in zip(outputs, boxes, strict=True):
            found, scores, _ = decode(output, 0.0)
            near = overlap(box[None], found)[0] > SAME_FACE
            best.append(torch.where(near, scores, 0).max())
        return torch.stack(best)

    def _find_in(self, picture: Tensor, score: float, smallest: int) -> Detections:
        device, dtype = self.prepare()
        pixels = as_pixels(picture[None]).to(device)
        parts = []
        scale = MIN_FACE / smallest
        while min(pixels.shape[2:]) * scale >= _MIN_LEVEL or not parts:
            level = _level(pixels, scale)
            outputs = _in_tiles(self.network, _padded(level).to(dtype)).float()
            boxes, scores, landmarks = decode(outputs, score)
            # Rounding may have stretched the level; each axis has a factor of its own.
            back = boxes.new_tensor(
                [pixels.shape[3] / level.shape[3], pixels.shape[2] / level.shape[2]]
            )
            parts.append((boxes * back.repeat(2), scores, landmarks * back - 0.5))
            scale /= 2
        boxes, scores, landmarks = (
            torch.cat(p).to(picture.device) for p in zip(*parts, strict=True)
        )
        large = boxes[:, 2:].prod(1).sqrt() >= TOLERANCE * smallest
        boxes, scores, landmarks = boxes[large], scores[large], landmarks[large]
        kept = suppress(boxes, scores)
        return Detections(boxes[kept], scores[kept], landmarks[kept])


def _level(pixels: Tensor, scale: float) -> Tensor:
    """The picture at another scale."""
    if scale == 1:
        return pixels
    size = [max(1, round(side * scale)) for side in pixels.shape[2:]]
    return F.interpolate(pixels, size, mode="bilinear", antialias=scale < 1)


def _in_tiles(network: nn.Module, pixels: Tensor) -> Tensor:
    """The network's output for one picture, [15, H / 8, W / 8], computed in tiles if it is large.

    The tiles overlap by more than a cell's receptive field, so that the result is the same.
    """
    height, width = pixels.shape[2:]
    if height * width <= 2 * TILE**2:
        return network(pixels)[0]
    rows = []
    for top in range(0, height, TILE):
        row = []
        for left in range(0, width, TILE):
            y, x = max(0, top - OVERLAP), max(0, left - OVERLAP)
            tile = pixels[..., y : top + TILE + OVERLAP, x : left + TILE + OVERLAP]
            above, before = (top - y) // STRIDE, (left - x) // STRIDE
            cells = TILE // STRIDE
            found = network(tile)[0]
            row.append(found[:, above : above + cells, before : before + cells])
        rows.append(torch.cat(row, 2))
    return torch.cat(rows, 1)


def _padded(pixels: Tensor) -> Tensor:
    """The picture continued to the right and below to a multiple of 8."""
    height, width = pixels.shape[2:]
    return F.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")


def load_face_detector(path: str | Path) -> FaceDetector:
    """Read a detector of this repository's layout, at any width and depth.

    Raises FileNotFoundError or ValueError, saying what the file is instead.
    """
    path = Path(path)
    weights = read_weights(path)
    stem = [weights.get(f"stem.{layer}.0.weight") for layer in range(3)]
    head = weights.get("head.weight")
    if any(part is None for part in stem) or head is None or len(head) != OUTPUTS:
        sample = ", ".join(list(weights)[:3])
        raise ValueError(
            f"{path} is not a face detector of Visage ({len(weights)} tensors, such as {sample}). "
            "Choose the built-in starter, or a file that `visage train starter` wrote."
        )
    blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    with torch.device("meta"):
        network = DetectorNetwork([len(part) for part in stem], blocks)
    return FaceDetector(load_strictly(network, weights, path, "a face detector"), path.stem)


@lru_cache(maxsize=1)
def built_in_detector() -> FaceDetector:
    """The starter's detector, read once. Raises FileNotFoundError where it is missing."""
    detector = load_face_detector(starter_file("face_detector"))
    return FaceDetector(folded(detector.network), detector.name)
