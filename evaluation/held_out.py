"""Portraits that no training stage has seen, and how pictures become batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..training.world import portrait
from ..training.world.portrait import Portrait

SIZE = 128


def held_out(numbers: Iterable[int], size: int = SIZE, style: str | None = None) -> list[Portrait]:
    """Portraits of the split "test"; style None draws photographs and paintings by chance."""
    return [portrait(number, size=size, split="test", style=style) for number in numbers]


def as_batch(pictures: list[np.ndarray]) -> Tensor:
    """Pictures uint8 [H, W, 3] as one batch [B, H, W, 3] in 0..1."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def as_pictures(batch: Tensor) -> list[np.ndarray]:
    """The batch [B, H, W, 3] in 0..1 as pictures uint8."""
    return list((batch.clamp(0, 1) * 255).round().byte().numpy())
