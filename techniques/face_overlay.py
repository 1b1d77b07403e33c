"""A picture that shows a face mask: parts in colour, numbered boxes, and a legend below."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..models.face_classes import CLASSES, COLOURS
from .face_squares import Box

Colour = tuple[int, int, int]

MIN_LONG_SIDE = 512

_INK = (24, 24, 28)
_PAPER = (245, 245, 245)
_QUIET = (150, 150, 155)


def draw_overlay(
    picture: Tensor,
    mask: Tensor,
    colours: Tensor,
    boxes: Sequence[Box],
    chosen: Sequence[int],
    parts: frozenset[str],
) -> Tensor:
    """Return a picture [h, w, 3] that shows which parts of which faces are masked.

    Takes the picture [H, W, 3], its mask [H, W], the parts' colours [H, W, 3], the boxes of all
    faces and the numbers of the chosen ones. The result is as wide as the picture and higher by
    the legend; a small picture is enlarged by a whole factor, so that the text can be read.
    """
    height, width = picture.shape[:2]
    factor = -(-MIN_LONG_SIDE // max(height, width))
    canvas = Image.fromarray(_tinted(picture, mask, colours, factor))
    text = max(12, round(max(canvas.size) / 42))
    draw = ImageDraw.Draw(canvas)
    for number, box in enumerate(boxes):
        colour = _PAPER if number in chosen else _QUIET
        _draw_box(draw, [value * factor for value in box], str(number), colour, text)
    if not boxes:
        _draw_label(draw, (text // 2, text // 2), "no face found", _PAPER, text)
    legend = _legend(canvas.width, parts, text)
    overlay = np.concatenate((np.asarray(canvas), np.asarray(legend)))
    return torch.from_numpy(overlay.astype(np.float32) / 255).to(picture.device)


def draw_faces(
    picture: Tensor, boxes: Sequence[Box], words: Sequence[str], colours: Sequence[Colour] = ()
) -> Tensor:
    """Return a picture [h, w, 3] of a picture [H, W, 3] with a box and words around each face.

    A small picture is enlarged by a whole factor, so that the words can be read; without faces it
    says so.
    """
    height, width = picture.shape[:2]
    factor = -(-MIN_LONG_SIDE // max(height, width))
    pixels = (picture.detach().cpu().float().clamp(0, 1) * 255).round().byte().numpy()
    canvas = Image.fromarray(pixels).resize(
        (width * factor, height * factor), Image.Resampling.BILINEAR
    )
    text = max(12, round(max(canvas.size) / 42))
    draw = ImageDraw.Draw(canvas)
    for number, (box, label) in enumerate(zip(boxes, words, strict=True)):
        colour = colours[number] if colours else _PAPER
        _draw_box(draw, [value * factor for value in box], label, colour, text)
    if not boxes:
        _draw_label(draw, (text // 2, text // 2), "no face found", _PAPER, text)
    shown = np.asarray(canvas).astype(np.float32) / 255
    return torch.from_numpy(shown).to(picture.device)


def _tinted(picture: Tensor, mask: Tensor, colours: Tensor, factor: int) -> np.ndarray:
    """Tint the masked part, dim the rest and draw the mask's outline, as 8-bit RGB."""
    size = (picture.shape[1] * factor, picture.shape[0] * factor)

    def enlarged(values: Tensor) -> np.ndarray:
        plain = values.detach().cpu().float().numpy().clip(0, 1)
        return plain if factor == 1 else cv2.resize(plain, size, interpolation=cv2.INTER_LINEAR)

    pixels = enlarged(picture)
    amount = enlarged(mask)
    shown = cv2.convertScaleAbs(pixels, alpha=0.6 * 255)
    left, top, width, height = cv2.boundingRect((amount > 0).astype(np.uint8))
    inner = slice(top, top + height), slice(left, left + width)
    part, weight = pixels[inner], amount[inner][..., None]
    part = part * (0.6 + 0.4 * weight) * (1 - 0.5 * weight)
    part += enlarged(colours)[inner] * (0.5 * weight)
    shown[inner] = (part * 255).round().astype(np.uint8)
    inside = (amount > 0.5).astype(np.uint8)
    thickness = 2 * max(1, round(max(size) / 800)) + 1
    kernel = np.ones((thickness, thickness), np.uint8)
    shown[cv2.dilate(inside, kernel) > inside] = 255
    return shown


def _draw_box(
    draw: ImageDraw.ImageDraw, box: Sequence[float], words: str, colour: Colour, text: int
) -> None:
    x, y, width, height = box
    draw.rectangle((x, y, x + width, y + height), outline=colour, width=max(1, text // 8))
    _draw_label(draw, (x, max(0, y - 1.5 * text)), words, colour, text)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    words: str,
    colour: Colour,
    text: int,
) -> None:
    font = ImageFont.load_default(text)
    x, y = corner
    draw.rectangle((x, y, x + draw.textlength(words, font) + text, y + 1.5 * text), fill=colour)
    draw.text((x + text / 2, y + 0.75 * text), words, fill=_INK, font=font, anchor="lm")


def _legend(width: int, parts: frozenset[str], text: int) -> Image.Image:
    """Draw a strip of colour swatches with the names of the chosen parts, in lines that fit."""
    font = ImageFont.load_default(text)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    places = []
    x, line = text, 0
    for name in (name for name in CLASSES if name in parts):
        words = name.replace("_", " ")
        needed = 1.5 * text + measure.textlength(words, font)
        if x > text and x + needed > width - text / 2:
            x, line = text, line + 1
        places.append((x, (line + 0.5) * 1.7 * text + 0.5 * text, name, words))
        x += round(needed + 1.2 * text)
    strip = Image.new("RGB", (width, round((line + 1) * 1.7 * text + text)), _INK)
    draw = ImageDraw.Draw(strip)
    for x, middle, name, words in places:
        half = text / 2
        draw.rectangle((x, middle - half, x + text, middle + half), fill=COLOURS[name])
        draw.text((x + 1.5 * text, middle), words, fill=_PAPER, font=font, anchor="lm")
    return strip
