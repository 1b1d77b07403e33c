"""A picture painted anew from patches of paintings: style without any network.

Texture optimisation (Kwatra et al., "Texture Optimization for Example-based Synthesis", 2005) from
coarse to fine, with the content drawn in after every step as Elad and Milanfar do ("Style Transfer
Via Texture Synthesis", 2017): for patches R_ij of the picture x and their nearest patches z_ij,
    y = sum R_ij^T W z_ij / sum R_ij^T W,    x = (1 - c) y + c content,
with a Gaussian W and a map c that is higher where the person is. The last steps weigh a patch's
middle alone, which keeps brush strokes sharp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .colour_transfer import match_colours
from .neural_style import Level
from .style_patches import PatchSearch, StylePatches, window

STEPS = 3
VOTE_SIGMA, LAST_SIGMA = 2.2, 1.5
COLOUR_STEP = 0.7
COARSE_CONTENT, FINE_CONTENT = 0.25, 0.02
"""c at the coarsest and at the finest size."""
LAST_KEPT = 0.4
"""The part of c that remains in the last step of all, where the person is kept."""
ROWS_AT_ONCE = 64
MAX_STYLE_SIDE = 1536
"""Pixels of a painting's longer side beyond which all features of it take too much memory."""


@dataclass
class PatchPainter:
    """stride: pixels between two patches of the picture."""

    steps: int = STEPS
    stride: int = 3
    search: PatchSearch = field(default_factory=PatchSearch)
    smallest: int = 32
    """Pixels of the shorter side, below which a size is left out."""

    def steps_at(self, level: int) -> int:
        """How many steps one size takes."""
        return self.steps

    def paint(
        self,
        level: Level,
        picture: Tensor,
        report: Callable[[Tensor, float], bool],
    ) -> Tensor:
        """One size: a picture [1, 3, H, W] nearer to the style.

        report(picture so far, mean distance of a value from the style's patches) stops it by
        returning True.
        """
        groups = [
            (
                region,
                StylePatches(
                    [_fitting(style, self.search.patch) for style, _ in members],
                    [weight for _, weight in members],
                    self.search,
                    level.generator,
                ),
            )
            for region, members in level.groups()
        ]
        content = level.content
        amount = COARSE_CONTENT + (FINE_CONTENT - COARSE_CONTENT) * level.progress
        base = 1 - (1 - min(1.0, amount * level.content_weight)) * level.strength
        kept = base + (1 - base) * level.keep
        for step in range(self.steps):
            ends = step == self.steps - 1
            sigma = LAST_SIGMA if ends else VOTE_SIGMA
            painted, distance = self._vote(level, groups, picture, sigma)
            if ends and level.is_last:
                content = _smoothed(content, level.keep)
                kept = 1 - (1 - LAST_KEPT * level.keep) * level.strength
            picture = torch.lerp(painted, content, kept)
            if level.match is not None:
                matched = match_colours(picture.movedim(1, -1), level.match.movedim(1, -1))
                picture = torch.lerp(picture, matched.movedim(-1, 1), COLOUR_STEP * level.strength)
            picture = level.anchored(picture).clamp(0, 1)
            if report(picture, distance):
                break
        return picture

    def _vote(
        self, level: Level, groups: list, picture: Tensor, sigma: float
    ) -> tuple[Tensor, float]:
        """Each region painted by its patches, and the mean distance of a value from them."""
        result, distances = torch.zeros_like(picture), []
        for region, patches in groups:
            painted, distance = self._vote_with(patches, picture, region, sigma, level.generator)
            result += region * painted
            distances.append(distance)
        covered = torch.stack([region for region, _ in groups]).sum(0)
        result += (1 - covered).clamp(min=0) * level.content
        return result, sum(distances) / len(distances)

    def _vote_with(
        self, patches: StylePatches, picture: Tensor, region: Tensor, sigma: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, float]:  # fmt: skip
        stride, side = self.stride, self.search.patch
        height, width = picture.shape[2:]
        # Another grid at every step, so that no seam stays where it is.
        top, left = torch.randint(stride, (2,), generator=generator).tolist()
        bottom, right = (
            -(n + before - side) % stride for n, before in ((height, top), (width, left))
        )
        padding = (left, right, top, bottom)
        padded = F.pad(picture, padding, mode="replicate")
        touched = F.max_pool2d(F.pad(region, padding), side, stride)[0, 0] > 0
        wanted = patches.features(padded, stride)
        source, row, column, distance = patches.nearest(wanted, stride, touched)
        weights = window(side, sigma).flatten().to(picture)
        total, votes = torch.zeros_like(padded), torch.zeros_like(padded[:, :1])
        for first in range(0, touched.shape[0], ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            counted = touched[rows].flatten()
            if not counted.any():
                continue
            places = (part[rows].flatten()[counted] for part in (source, row, column))
            seen = picture.new_zeros(len(counted), 3 * side * side)
            seen[counted] = patches.look(*places) * weights.repeat(3)
            lines = slice(
                first * stride, first * stride + (touched[rows].shape[0] - 1) * stride + side
            )
            size = total[:, :, lines].shape[2:]
            total[:, :, lines] += F.fold(seen.T[None], size, side, stride=stride)
            weighted = counted.to(picture)[:, None] * weights
            votes[:, :, lines] += F.fold(weighted.T[None], size, side, stride=stride)
        painted = (total / votes.clamp(min=1e-8))[:, :, top : top + height, left : left + width]
        values = distance[touched].mean() / (3 * window(side, side / 4).sum())
        return painted, float(values.clamp(min=0).sqrt()) if touched.any() else 0.0


def _fitting(style: Tensor, patch: int) -> Tensor:
    """The style no larger than memory allows and no smaller than two patches."""
    height, width = style.shape[2:]
    scale = min(1.0, MAX_STYLE_SIDE / max(height, width))
    scale = max(scale, 2 * patch / min(height, width))
    if scale == 1:
        return style
    size = (round(height * scale), round(width * scale))
    return F.interpolate(style, size, mode="bilinear", antialias=scale < 1).clamp(0, 1)


def _smoothed(content: Tensor, keep: Tensor) -> Tensor:
    """The kept content without skin grain: edges stay and surfaces become even, as if painted."""
    if not keep.any():
        return content
    pixels = (content[0].movedim(0, -1).cpu().numpy() * 255).round().astype(np.uint8)
    reach = max(3, min(pixels.shape[:2]) // 100)
    even = cv2.bilateralFilter(pixels, d=0, sigmaColor=24, sigmaSpace=reach)
    return torch.from_numpy(even).to(content).movedim(-1, 0)[None] / 255
