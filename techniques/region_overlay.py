"""A picture that shows which region gets which style: tints, outlines and names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

COLOURS = {
    "red": (228, 87, 86),
    "blue": (76, 120, 168),
    "green": (84, 162, 75),
    "yellow": (238, 202, 59),
    "violet": (178, 121, 162),
    "orange": (245, 133, 24),
    "cyan": (114, 183, 178),
    "pink": (255, 157, 166),
}
MIN_LONG_SIDE, MAX_LONG_SIDE = 512, 1536


def draw_regions(
    picture: Tensor, weights: Tensor, names: Sequence[str], colours: Sequence[str]
) -> Tensor:
    """Return a picture [h, w, 3] with each region in its colour and under its name.

    Takes the picture [H, W, 3] in 0..1 and the regions' weights [K, H, W], which sum to at most 1.
    Small pictures are enlarged by a whole factor, so that the names can be read, and large ones are
    made smaller.
    """
    height, width = picture.shape[:2]
    factor = -(-MIN_LONG_SIDE // max(height, width))
    if max(height, width) > MAX_LONG_SIDE:
        factor = MAX_LONG_SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resampling = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR

    def resized(values: Tensor) -> np.ndarray:
        return cv2.resize(values.detach().cpu().float().numpy(), size, interpolation=resampling)

    shown = resized(picture) * 255
    amounts = [resized(weight)[..., None] for weight in weights]
    shown = shown * (0.6 + 0.4 * np.clip(sum(amounts, np.zeros((1, 1, 1))), 0, 1))
    for amount, colour in zip(amounts, colours, strict=True):
        shown = shown + 0.45 * amount * (np.array(COLOURS[colour]) - shown)
        inside = (amount[..., 0] > 0.5).astype(np.uint8)
        outline = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside
        shown[outline > 0] = COLOURS[colour]
    canvas = Image.fromarray(shown.clip(0, 255).round().astype(np.uint8))
    for amount, name, colour in zip(amounts, names, colours, strict=True):
        if amount.any():
            _label(canvas, amount[..., 0], name, COLOURS[colour])
    return torch.from_numpy(np.asarray(canvas).astype(np.float32) / 255).to(picture.device)


def _label(
    canvas: Image.Image, amount: np.ndarray, name: str, colour: tuple[int, int, int]
) -> None:
    """The name in the deepest part of its region."""
    # A border of zeros: a region that fills the picture is deepest in the middle.
    inside = np.pad((amount >= 0.5 * amount.max()).astype(np.uint8), 1)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.distanceTransform(inside, cv2.DIST_L2, 3))
    text = max(12, round(max(canvas.size) / 36))
    font = ImageFont.load_default(text)
    draw = ImageDraw.Draw(canvas)
    half = (draw.textlength(name, font) + text) / 2
    x = min(max(x, half), max(half, canvas.width - half))
    y = min(max(y, text), canvas.height - text)
    draw.rectangle((x - half, y - 0.75 * text, x + half, y + 0.75 * text), fill=colour)
    draw.text((x, y), name, fill=(24, 24, 28), font=font, anchor="mm")
