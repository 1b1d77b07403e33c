"""One way to run a UNet: a loaded model for latents of one shape, whichever engine it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .taps import Attention, Branch


class Run(Protocol):
    """Branches of one model for latents [B, 4, h, w] of one shape, which share its UNet.

    Prompts and styles are in the engine's own form: conditionings and patched clones of the model
    in ComfyUI, text embeddings and LoRAs with diffusers.
    """

    @property
    def alphas(self) -> Tensor:
        """The training schedule's cumulated alphas [T], float64."""
        ...

    @property
    def attention_layers(self) -> list[int]:
        """The decoder layers that have attention."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the UNet runs."""
        ...

    def branch(
        self,
        prompts: Sequence[Any],
        style: Any = None,
        bypassed: frozenset[Attention] = frozenset(),
    ) -> Branch:
        """A branch for R prompts, under a style everywhere but in the bypassed attentions.

        Raises ValueError for a style that was made for another model.
        """
        ...

    def into_model(self, latent: Tensor) -> Tensor:
        """The latent [B, 4, h, w] of a VAE, scaled as the UNet takes it."""
        ...

    def out_of_model(self, latent: Tensor) -> Tensor:
        """The UNet's latent [B, 4, h, w], scaled as the VAE takes it."""
        ...
