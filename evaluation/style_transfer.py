"""How much of the content a restyled picture keeps and how much of the style it takes, measured in
the starter world, where every pixel's class is known.

Distances are in the built-in face parser's features. The figures can only be compared with each
other.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.face_parser import FaceParser
from ..models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from ..techniques.style_score import gram_matrices

Texture = list[Tensor]
"""Gram matrices [C, C] of one picture's features, one for each level."""


def layout_distance(image: Tensor, labels: Tensor, parser: FaceParser) -> float:
    """Fraction of pixels [1, H, W] whose class by the parser is not the one that was drawn."""
    parsed = parser.probabilities(image).argmax(dim=1)
    return float((parsed != labels.to(parsed)).float().mean())


def texture(image: Tensor, parser: FaceParser, mask: Tensor | None = None) -> Texture:
    """Gram matrices of the parser's features at 1/8 and 1/16 of a picture [1, H, W, 3].

    A mask [1, H, W] limits it to a part. Two textures are compared by `style_score.gram_distance`.
    """
    return gram_matrices(_features(image, parser), mask)


def mean_texture(textures: Sequence[Texture]) -> Texture:
    """The mean texture of several pictures in one style, which leaves out their contents."""
    return [torch.stack(level).mean(dim=0) for level in zip(*textures, strict=True)]


@torch.inference_mode()
def _features(image: Tensor, parser: FaceParser) -> list[Tensor]:
    planes = F.interpolate(image.movedim(-1, 1), (parser.input_size,) * 2, mode="bilinear")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return parser.network.get_submodule("cp.resnet")((planes - mean) / std)[:2]


def boundary_artefact(image: Tensor, mask: Tensor) -> float:
    """How much more a picture [H, W, 3] changes from pixel to pixel on the edge of a mask [H, W]
    than 8 px inside and outside of it; 0 if no edge is visible.

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
    joined by straight lines and extended as constants. 0.2 means 20 % less content lost.
    """
    styles, contents = np.array(sorted(reference)).T
    lost = float(np.interp(method[0], styles, contents))
    return 1 - method[1] / lost if lost else 0.0
