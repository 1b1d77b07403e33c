"""One training step: losses of micro-batches, gradients, AdamW."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator

from ...engines.trainable import TrainableModel
from ...models.user_input import require_choice
from .batches import Batch
from .config import FaceEditConfig
from .learner import FaceEditLearner

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def precision_of(config: FaceEditConfig) -> torch.dtype:
    """The precision to compute in: the configuration's, or that of `accelerate launch`."""
    chosen = config.precision
    if chosen == "auto":
        chosen = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").replace("no", "fp32")
    require_choice("precision", chosen, PRECISIONS)
    return PRECISIONS[chosen]


class Stepper:
    """The learner of a model, spread over the processes, with its optimizer.

    The optimizer is AdamW, with one rate for the K/V projections and one for the adapter.
    """

    def __init__(
        self, model: TrainableModel, config: FaceEditConfig, accelerator: Accelerator
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.dtype = precision_of(config)
        self.learner = FaceEditLearner(model, config, self.dtype)
        if config.gradient_checkpointing:
            model.use_checkpointing()
        self.wrapped = accelerator.prepare_model(self.learner)
        groups = [{"params": list(model.projections.values()), "peak": config.kv_learning_rate}]
        if self.learner.adapter is not None:
            adapter = list(self.learner.adapter.parameters())
            groups.append({"params": adapter, "peak": config.adapter_learning_rate})
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay)
        # In fp16 small gradients vanish, so the loss is scaled up.
        fp16 = self.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=fp16)

    def take(self, batch: Batch, rate: float = 1.0) -> float:
        """Take a step on this process's part of a batch, at `rate` times the peak rates.

        Returns the loss of the whole batch, over all processes.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        accelerator, whole = self.accelerator, len(batch.latents)
        parts = batch.to(accelerator.device).split(self.config.micro_batch or whole)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=accelerator.device)
        for number, part in enumerate(parts, start=1):
            waits = number < len(parts)
            with accelerator.no_sync(self.wrapped) if waits else contextlib.nullcontext():
                with self.autocast():
                    loss = self.wrapped(part) * (len(part.latents) / whole)
                self.scaler.scale(loss).backward()
            total += loss.detach()
        self.scaler.unscale_(self.optimizer)
        learning = [value for group in self.optimizer.param_groups for value in group["params"]]
        torch.nn.utils.clip_grad_norm_(learning, self.config.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(accelerator.reduce(total, "mean"))

    def autocast(self) -> AbstractContextManager:
        """The context in which the network computes in its precision."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.accelerator.device.type, self.dtype, enabled=enabled)
