"""The object in a roughly marked area: GrabCut.

Rother, Kolmogorov, Blake, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts",
SIGGRAPH 2004, as OpenCV has it: what is outside the area is background, and a graph cut between two
mixtures of Gaussians of colour decides inside it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .shapes import as_image, as_mask, fit_mask, match_batch, split_alpha

ROUNDS = 5
LONGEST_SIDE = 512
"""Larger pictures are cut at this size: the cut takes time and gains nothing above it."""


def grab_cut(image: Tensor, mask: Tensor) -> Tensor:
    """Find the object inside the marked area of pictures [B, H, W, C]; returns [B, H, W], 0 or 1.

    mask: [B, H, W]; the object is searched where it is above 0.5. That area is returned unchanged
    if it is empty, covers the picture, or holds no object that differs from its surroundings.
    """
    pictures, _ = split_alpha(as_image(image))
    height, width = pictures.shape[1:3]
    planes = fit_mask(as_mask(mask), height, width).to(pictures.device)
    pictures, planes = match_batch(pictures, planes, "image", "mask")
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(pictures.movedim(-1, 1), size, mode="area").movedim(1, -1)
    areas = F.interpolate(planes.unsqueeze(1), size, mode="area").squeeze(1) > 0.5
    cut = torch.stack([_cut(p, a) for p, a in zip(small.cpu(), areas.cpu(), strict=True)])
    cut = cut.to(planes.device).unsqueeze(1)
    whole = F.interpolate(cut, (height, width), mode="bilinear").squeeze(1)
    return ((whole > 0.5) & (planes > 0.5)).float()


def cut(picture: Tensor, labels: np.ndarray) -> np.ndarray:
    """Decide what is object, bool [H, W], in a picture [H, W, 3].

    labels: OpenCV's classes [H, W]: GC_BGD and GC_FGD are sure, GC_PR_BGD and GC_PR_FGD a guess.
    """
    pixels = (picture.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
    labels = labels.astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the mixtures begin with k-means
    cv2.grabCut(pixels, labels, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _cut(picture: Tensor, area: Tensor) -> Tensor:
    if not area.any() or area.all():
        return area.float()
    found = cut(picture, np.where(area.numpy(), cv2.GC_PR_FGD, cv2.GC_BGD))
    return torch.from_numpy(found.astype(np.float32)) if found.any() else area.float()
