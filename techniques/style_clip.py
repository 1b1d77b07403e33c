"""A clip painted without flicker: each frame begins with the last one's result, moved by the flow.

Ruder et al., "Artistic Style Transfer for Videos" (GCPR 2016): where the forward and backward flow
agree the painting moves with the objects, and elsewhere it is repainted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..models.user_input import read_numbers
from .neural_style import NeuralStyle, Painter, Painting, StylePicture, neural_style
from .neural_style_pictures import resized
from .optical_flow import flow_to_before, moved
from .shapes import as_image, as_mask, fit_mask

STICKS = 0.85
"""How strongly a frame is kept to the motion-compensated result of the last one, where the flow is
certain.
"""

FrameProgress = Callable[[int, int, int, Tensor, float], bool]
"""progress(frame, steps done, of how many, picture so far, loss); True ends it there."""


def paint_batch(
    frames: Tensor,
    styles: Sequence[StylePicture],
    painter: Painter,
    settings: NeuralStyle | None = None,
    keep: Tensor | None = None,
    is_clip: bool = True,
    progress: FrameProgress | None = None,
) -> tuple[Tensor, list[float]]:
    """Paint frames [B, H, W, C]: as a clip, or each for itself.

    Regions of the styles [H, W] or [B, H, W] and keep [H, W] or [B, H, W] may differ from frame to
    frame. Ended early, the frames that were not reached stay as they are. Returns the frames
    [B, h, w, C] and the losses of all steps.
    """
    settings = settings or NeuralStyle()
    painted: list[Tensor] = []
    losses: list[float] = []
    for number, frame in enumerate(frames):
        own = [
            replace(style, region=_of_frame(style.region, number, len(frames))) for style in styles
        ]
        held = None
        if is_clip and number:
            flow, trusted = flow_to_before(frame[..., :3], frames[number - 1][..., :3])
            size = tuple(painted[-1].shape[:2])
            flow, trusted = _scaled(flow, trusted, size)
            last = moved(painted[-1][..., :3], flow, "bicubic").clamp(0, 1)
            held = (last, STICKS * trusted)

        def show(done: int, total: int, picture: Tensor, loss: float, number=number) -> bool:
            return progress is not None and progress(number, done, total, picture, loss)

        mask = _of_frame(keep, number, len(frames))
        result: Painting = neural_style(frame, own, painter, settings, mask, show, held)
        painted.append(result.picture)
        losses += result.losses
        if result.ended_early:
            break
    for frame in frames[len(painted) :]:
        painted.append(resized(frame.movedim(-1, 0)[None], painted[0].shape[:2])[0].movedim(0, -1))
    return torch.stack(painted), losses


def _of_frame(mask: Tensor | None, number: int, count: int) -> Tensor | None:
    """The mask of one frame; one mask serves all."""
    if mask is None or mask.ndim == 2:
        return mask
    if len(mask) not in (1, count):
        raise ValueError(f"There are {len(mask)} masks for {count} frames; give one, or one each.")
    return mask[number if len(mask) > 1 else 0]


def _scaled(flow: Tensor, trusted: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Flow and trust at another size."""
    height, width = trusted.shape
    if (height, width) == size:
        return flow, trusted
    factors = flow.new_tensor([size[1] / width, size[0] / height])
    larger = torch.nn.functional.interpolate(flow.movedim(-1, 0)[None], size, mode="bilinear")
    return larger[0].movedim(0, -1) * factors, resized(trusted[None, None], size)[0, 0]


def styles_of(
    frames: Tensor, given: Sequence[tuple[Tensor | None, Tensor | None]], mix: str
) -> list[StylePicture]:
    """The styles of pictures [R, h, w, C] with their regions [B or 1, H, W], None where there is
    neither. `mix` holds a weight for each, which pictures of one style share.

    Raises ValueError for a region without a picture and for a mix with too few weights.
    """
    weights = read_numbers(mix, "mix")
    if len(weights) < len(given):
        raise ValueError(f"mix has {len(weights)} weights; give {len(given)}, one for each style.")
    styles = []
    for number, ((pictures, region), weight) in enumerate(zip(given, weights, strict=False), 1):
        if pictures is None:
            if region is not None:
                raise ValueError(f"region {number} is connected and style {number} is not.")
            continue
        paintings = as_image(pictures, f"style {number}").to(frames.device)
        name = f"region {number}"
        where = None if region is None else masks_of(region, frames, name)
        styles += [StylePicture(picture, weight / len(paintings), where) for picture in paintings]
    return styles


def masks_of(mask: Tensor, frames: Tensor, name: str) -> Tensor:
    """A mask [B or 1, H, W] at the size of frames [B, H, W, C]. Raises ValueError for others."""
    masks = fit_mask(as_mask(mask, name), *frames.shape[1:3], name).to(frames.device)
    if len(masks) not in (1, len(frames)):
        raise ValueError(
            f"{name} has {len(masks)} masks for {len(frames)} pictures; give one, or one each."
        )
    return masks
