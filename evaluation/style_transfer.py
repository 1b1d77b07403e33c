"""How much of the content a restyled picture keeps and how much of the style it takes, measured in
the starter world, where every pixel's class is known.

Distances are in the built-in face parser's own features: figures of this world, comparable with
each other and with nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_parser import FaceParser
from ..techniques.style_score import gram_distance as relative_difference
from ..techniques.style_score import gram_matrices

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def layout_distance(image: Tensor, labels: Tensor, parser: FaceParser) -> float:
    """Share of pixels [1, H, W] whose class, for the parser, is no longer what was drawn."""
    parsed = parser.probabilities(image).argmax(dim=1)
    return float((parsed != labels.to(parsed)).float().mean())


def gram_distance(
    image: Tensor,
    style: Tensor,
    parser: FaceParser,
    mask: Tensor | None = None,
    style_mask: Tensor | None = None,
) -> float:
    """Distance of pictures' [1, H, W, 3] textures: mean relative difference of Gram matrices.

    On the parser's features at 1/8 and 1/16; 0 for the style itself, about 1 for an unrelated one.
    Masks [1, H, W] limit it to a part of either picture.
    """
    own = gram_matrices(_features(image, parser), mask)
    return relative_difference(own, gram_matrices(_features(style, parser), style_mask))


@torch.inference_mode()
def _features(image: Tensor, parser: FaceParser) -> list[Tensor]:
    planes = F.interpolate(image.movedim(-1, 1), (parser.input_size,) * 2, mode="bilinear")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return parser.network.cp.resnet((planes - mean) / std)[:2]


def boundary_artefact(image: Tensor, mask: Tensor) -> float:
    """How much more a picture [H, W, 3] changes from pixel to pixel on the edge of a mask [H, W]
    than 8 px inside and outside of it; 0 where no edge shows.

    Mean |gradient| on a ring of 3 px minus the mean of those on the rings at +8 and -8 px.
    """
    right = (image[:-1, 1:] - image[:-1, :-1]).abs()
    down = (image[1:, :-1] - image[:-1, :-1]).abs()
    change = (right + down).mean(dim=-1).cpu().numpy()
    inside = (mask > 0.5).cpu().numpy().astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    depth = (depth - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5))[:-1, :-1]

    def on_ring(distance: float) -> float:
        ring = np.abs(depth - distance) <= 1.5
        return float(change[ring].mean()) if ring.any() else 0.0

    return on_ring(0) - (on_ring(8) + on_ring(-8)) / 2


def gain_at_equal_style(
    reference: Sequence[tuple[float, float]], method: tuple[float, float]
) -> float:
    """How much less content a method loses than the reference at the method's style distance.

    Points are (style distance, content distance); the reference's, at several strengths, are
    joined by straight lines and continued flat. 0.2 is 20 % less content lost.
    """
    styles, contents = np.array(sorted(reference)).T
    lost = float(np.interp(method[0], styles, contents))
    return 1 - method[1] / lost if lost else 0.0
