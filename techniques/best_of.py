"""The best pictures of a batch by weighted scores, and a contact sheet that shows the numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CELL, GAP, LINE = 256, 8, 20
MAX_COLUMNS = 6
_PAPER, _INK, _BEST = (28, 28, 32), (225, 225, 230), (120, 220, 130)
_STYLE_LINE = re.compile(r"^picture \d+: style (-?[\d.]+|nan)", re.MULTILINE)


def read_scores(text: str, name: str) -> list[float]:
    """Return one score a picture; a picture that could not be scored is NaN.

    Reads the scores of Identity Score (JSON), the report of Style Score, a JSON list of numbers,
    and numbers with commas between them. Raises ValueError, with the text's beginning, for others.
    """
    lines = _STYLE_LINE.findall(text)
    if lines:
        return [float(number) for number in lines]
    try:
        values = json.loads(text if text.lstrip().startswith(("[", "{")) else f"[{text}]")
        if isinstance(values, dict):
            values = [picture["identity"] for picture in values["pictures"]]
        return [math.nan if value is None else float(value) for value in values]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{name} holds no scores: {text[:60]!r}. Connect `scores` of Identity Score, `report` "
            "of Style Score, or write one number a picture with commas between them."
        ) from error


def rank(
    scores: Mapping[str, Sequence[float]], weights: Mapping[str, float], count: int
) -> tuple[list[int], list[float]]:
    """Return the pictures' numbers, best first, and every picture's total score.

    The total is the weighted mean of the scores whose weight is not 0. A picture without one of
    them (NaN) comes last. Equal pictures keep their order. Raises ValueError where a kind of score
    is not one a picture, or where no score counts.
    """
    counted = {name: values for name, values in scores.items() if weights[name] != 0}
    if not counted:
        raise ValueError("No score counts: connect one, with a weight that is not 0.")
    for name, values in counted.items():
        if len(values) != count:
            raise ValueError(f"{name} has {len(values)} scores for {count} pictures.")
    total_weight = sum(abs(weights[name]) for name in counted)
    totals = [
        sum(weights[name] * values[k] for name, values in counted.items()) / total_weight
        for k in range(count)
    ]
    order = sorted(range(count), key=lambda k: (math.isnan(totals[k]), -totals[k]))
    return order, totals


def contact_sheet(pictures: Tensor, captions: Sequence[str], best: int) -> Tensor:
    """Return pictures [N, H, W, 3] in rows, each over its caption; the first `best` are framed.

    The result is one picture [1, h, w, 3]; a caption has a line for each line of its text.
    """
    lines = max(caption.count("\n") + 1 for caption in captions)
    columns = min(MAX_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    small = _fit(pictures)
    height, width = small.shape[1:3]
    step = (width + 2 * GAP, height + 2 * GAP + lines * LINE)
    page = Image.new("RGB", (columns * step[0], rows * step[1]), _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for number, (picture, caption) in enumerate(zip(small, captions, strict=True)):
        left, top = (number % columns) * step[0] + GAP, (number // columns) * step[1] + GAP
        shown = Image.fromarray((picture * 255).round().byte().numpy())
        if number < best:
            draw.rectangle((left - 3, top - 3, left + width + 2, top + height + 2), fill=_BEST)
        page.paste(shown, (left, top))
        draw.text((left, top + height + 4), caption, fill=_INK, font=font)
    return torch.from_numpy(np.asarray(page, np.float32) / 255).unsqueeze(0)


def _fit(pictures: Tensor) -> Tensor:
    """The pictures with their longer side CELL px, or as they are where they are smaller."""
    scale = min(1.0, CELL / max(pictures.shape[1:3]))
    size = [max(1, round(side * scale)) for side in pictures.shape[1:3]]
    channels = pictures[..., :3].movedim(-1, 1).cpu()
    resized = F.interpolate(channels, size, mode="bilinear", antialias=True)
    return resized.movedim(1, -1).clamp(0, 1)
