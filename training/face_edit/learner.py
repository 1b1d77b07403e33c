"""The module that is trained: the UNet's K/V projections and the face-aware text adapter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...engines.trainable import TrainableModel
from ...techniques.mask_weighted_loss import mask_weighted_loss
from ...techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from .batches import Batch
from .config import FaceEditConfig


class FaceEditLearner(nn.Module):
    """Computes the loss of a batch; only the K/V projections and the adapter have gradients.

    Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
    Preservation", equations 4-9. Frozen weights are in `dtype`, trained ones in float32.
    """

    def __init__(self, model: TrainableModel, config: FaceEditConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = model.network
        for parameter in self.network.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)
        random = torch.random.get_rng_state()
        torch.manual_seed(config.seed % 2**64)
        self.adapter = FaceAwareTextAdapter(model.width) if config.adapter else None
        torch.random.set_rng_state(random)
        self.config = config
        self.prediction = model.prediction if config.prediction == "auto" else config.prediction
        # Cumulated alpha of each training step.
        self.register_buffer("alphas", 1 / (1 + model.schedule.sigmas**2), persistent=False)

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The network's prediction and its target, both [B, 4, h, w]."""
        alpha = self.alphas[batch.timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
        shown = torch.cat((noisy, batch.concat), dim=1)
        shown = shown.contiguous(memory_format=torch.channels_last)
        text = batch.text
        if self.adapter is not None:
            mask, strength = batch.mask.squeeze(1), self.config.adapter_strength
            text = adapt_text(text, mask, self.adapter, strength)
        predicted = self.network(shown, batch.timesteps, text).float()
        if self.prediction == "epsilon":
            return predicted, batch.noise
        return predicted, alpha.sqrt() * batch.noise - (1 - alpha).sqrt() * batch.latents

    def forward(self, batch: Batch) -> Tensor:
        predicted, target = self.predict(batch)
        if self.config.loss == "plain":
            return (predicted - target).square().mean()
        return mask_weighted_loss(predicted, target, batch.mask, self.config.alpha)
