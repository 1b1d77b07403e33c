"""The batch of each step, which depends on the seed and the step alone.

A run that was killed can therefore repeat any step, with any number of processes: each process
takes its slice of the same global batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...diffusion.sampling import seeded_generator
from ..loop import step_generator
from .cache import Cache, CachedExample, read_latents, read_text
from .config import FaceEditConfig


@dataclass(frozen=True)
class Batch:
    """latents, noise [B, 4, h, w]; concat [B, 5, h, w]; text [B, T, d]; timesteps [B].

    Latents are scaled as the UNet sees them.
    """

    latents: Tensor
    concat: Tensor
    text: Tensor
    noise: Tensor
    timesteps: Tensor

    @property
    def mask(self) -> Tensor:
        """The mask [B, 1, h, w] at latent size."""
        return self.concat[:, :1]

    def to(self, device: torch.device) -> Batch:
        return Batch(*(value.to(device, non_blocking=True) for value in vars(self).values()))

    def split(self, size: int) -> list[Batch]:
        """Batches of `size`, in order."""
        columns = (value.split(size) for value in vars(self).values())
        return [Batch(*values) for values in zip(*columns, strict=True)]


class StepBatches(Dataset):
    """Item `step` is this process's part of that step's global batch."""

    def __init__(
        self,
        cache: Cache,
        config: FaceEditConfig,
        timesteps: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.cache, self.config, self.timesteps = cache, config, timesteps
        items = config.batch // processes
        self.items = range(process * items, (process + 1) * items)

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        random = step_generator(config.seed, step)
        timesteps = torch.randint(self.timesteps, (config.batch,), generator=random)
        flips = torch.rand(config.batch, generator=random) < config.flip
        words, silence = torch.rand(2, config.batch, generator=random).tolist()
        noise_seeds = torch.randint(2**62, (config.batch,), generator=random).tolist()
        columns = []
        for item in self.items:
            example = self._example(step, item)
            stored, side = read_latents(example), int(flips[item])
            mask = stored["mask"].flip(-1) if side else stored["mask"]
            text = example.texts[int(words[item] * len(example.texts))]
            if silence[item] < config.caption_dropout:
                text = self.cache.empty_text
            latent = stored["pictures"][side]
            own = torch.Generator().manual_seed(noise_seeds[item])
            noise = torch.randn(latent.shape, generator=own)
            concat = torch.cat((mask, stored["masked"][side]))
            columns.append((latent, concat, read_text(text), noise))
        stacked = (torch.stack(values) for values in zip(*columns, strict=True))
        return Batch(*stacked, timesteps[self.items.start : self.items.stop])

    def names(self, step: int) -> list[str]:
        """The names of the examples in this process's part."""
        return [self._example(step, item).name for item in self.items]

    def _example(self, step: int, item: int) -> CachedExample:
        examples = self.cache.examples
        epoch, place = divmod(step * self.config.batch + item, len(examples))
        return examples[_order(self.config.seed, epoch, len(examples))[place]]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of the examples in an epoch."""
    random = seeded_generator(seed + 7_919 * epoch)
    return torch.randperm(count, generator=random).tolist()
