"""Portraits on which no stage is trained, and the conversion of pictures to batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..world import portrait
from ..world.portrait import Portrait

SIZE = 128


def held_out(numbers: Iterable[int], size: int = SIZE, style: str | None = None) -> list[Portrait]:
    """Portraits of the split "test"; style None draws photographs and paintings at random."""
    return [portrait(number, size=size, split="test", style=style) for number in numbers]


def as_batch(pictures: list[np.ndarray]) -> Tensor:
    """Pictures uint8 [H, W, 3] as one batch [B, H, W, 3] in 0..1."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def as_pictures(batch: Tensor) -> list[np.ndarray]:
    """The batch [B, H, W, 3] in 0..1 as pictures uint8 [H, W, 3]."""
    return list((batch.clamp(0, 1) * 255).round().byte().numpy())
