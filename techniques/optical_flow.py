"""How painted clips are kept steady: where the things in a frame were in the frame before, and
what of a frame's statistics a clip takes on.

Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), in OpenCV; whether flow
is to be trusted as in Ruder et al., "Artistic Style Transfer for Videos" (2016), equation 5:
|w + w'(w)|^2 < 0.01 (|w|^2 + |w'|^2) + 0.5, forwards w and backwards w'.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SIDE = 16
STEADY = 0.6
"""How much of a painted frame is the frame before, moved, where both show the same."""
FOLLOWS = 0.15
"""Weight of a new frame in the running mean of a clip's statistics."""
SAME_COLOUR = 0.05
"""Difference of a colour channel up to which two frames show the same; from twice as much they do
not."""


def flow_to_before(frame: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """From frames [H, W, 3] in 0..1 the flow [H, W, 2] in pixels (x, y) from each pixel to its
    place in the frame before, and how far it is trusted [H, W] in 0..1.
    """
    height, width = frame.shape[:2]
    if min(height, width) < MIN_SIDE:
        return frame.new_zeros(height, width, 2), frame.new_ones(height, width)
    now, then = (_grey(part) for part in (frame, before))
    back, forth = _flow(now, then), _flow(then, now)
    returned = back + moved(forth, back)
    limit = 0.01 * (back.square().sum(-1) + forth.square().sum(-1)) + 0.5
    trusted = (returned.square().sum(-1) < limit).to(frame)
    return back.to(frame), trusted


def moved(picture: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """A picture [H, W, C] read at each pixel's place plus flow [H, W, 2]; edges are repeated.

    mode: "bicubic" keeps what is moved over many frames sharper.
    """
    height, width = picture.shape[:2]
    rows, columns = torch.meshgrid(
        torch.arange(height).to(flow), torch.arange(width).to(flow), indexing="ij"
    )
    x = (columns + flow[..., 0] + 0.5) / width * 2 - 1
    y = (rows + flow[..., 1] + 0.5) / height * 2 - 1
    grid = torch.stack([x, y], -1)[None]
    planes = picture.movedim(-1, 0)[None].to(flow)
    read = F.grid_sample(planes, grid, mode, padding_mode="border", align_corners=False)
    return read[0].movedim(0, -1)


def steadied(painted: Tensor, frame: Tensor, painted_before: Tensor, before: Tensor) -> Tensor:
    """A painted frame [H, W, 3] drawn to the painted frame before it, moved by the flow, where the
    frames [H, W, 3] show the same: what the painter makes of noise no longer flickers.
    """
    flow, trusted = flow_to_before(frame, before)
    apart = (frame - moved(before, flow)).abs().amax(-1)
    weight = STEADY * trusted * (2 - apart / SAME_COLOUR).clamp(0, 1)
    held = moved(painted_before, flow, "bicubic").clamp(0, 1)
    return torch.lerp(painted, held.to(painted), weight[..., None].to(painted))


def followed(known: Sequence[Tensor], seen: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The running statistics of a clip after a frame whose own are `seen`."""
    return tuple(old.lerp(new, FOLLOWS) for old, new in zip(known, seen, strict=True))


def warping_error(frames: Tensor, guides: Tensor) -> float:
    """Root mean square difference between each frame [B, H, W, 3] and the one before it, moved by
    the flow of the unstyled guides [B, H, W, 3], where that is trusted.
    """
    total, count = 0.0, 0.0
    for number in range(1, len(frames)):
        flow, trusted = flow_to_before(guides[number], guides[number - 1])
        apart = (frames[number] - moved(frames[number - 1], flow)).square().mean(-1)
        total += float((apart * trusted).sum())
        count += float(trusted.sum())
    return (total / max(count, 1.0)) ** 0.5


def _grey(frame: Tensor) -> np.ndarray:
    pixels = (frame.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)


def _flow(start: np.ndarray, end: np.ndarray) -> Tensor:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(search.calc(start, end, None))
