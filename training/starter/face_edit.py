"""Stage: a first face-edit file, K/V projections and text adapter with a mask-weighted loss.

Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", equations 4-9.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...techniques.mask_weighted_loss import mask_weighted_loss
from ...techniques.text_adapter import FaceAwareTextAdapter
from ..loop import Run, cosine_rate, train
from .inpainting import LatentSet
from .networks import build_scheduler
from .tokenizer import tokenize
from .unet import draw_captions, noise_examples


def train_face_edit(
    recipe: dict[str, Any],
    seed: int,
    tokenizer,
    text_encoder,
    unet,
    facts: list[dict],
    examples: LatentSet,
    folder: Path,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train attn2's to_k and to_v and the adapter; returns K/V differences and the adapter."""
    torch.manual_seed(seed)
    before = unet.state_dict()
    tuned = copy.deepcopy(unet).train().requires_grad_(False)
    projections = {
        name: parameter
        for name, parameter in tuned.named_parameters()
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))
    }
    for parameter in projections.values():
        parameter.requires_grad_(True)
    adapter = FaceAwareTextAdapter(text_encoder.config.hidden_size)
    groups = [
        {"params": list(projections.values()), "peak": recipe["kv_learning_rate"]},
        {"params": list(adapter.parameters()), "peak": recipe["adapter_learning_rate"]},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0)
    scheduler, run = build_scheduler(), Run(folder, "face_edit", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 6, step])
        portraits, shown, noise, timesteps = noise_examples(
            examples, recipe["batch"], step, seed + 1, scheduler
        )
        ids = tokenize(tokenizer, draw_captions(facts, portraits, 0.0, rng))
        mask = shown[:, 4:5]
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * cosine_rate(step, run.steps, warm_up=20)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                text = text_encoder(input_ids=ids).last_hidden_state
            share = mask.mean(dim=(1, 2, 3)).view(-1, 1, 1)
            text = text + recipe["adapter_strength"] * share * adapter(text)
            shown = shown.contiguous(memory_format=torch.channels_last)
            predicted = tuned(shown, timesteps, text, return_dict=False)[0].float()
        loss = mask_weighted_loss(predicted, noise, mask, recipe["alpha"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    train(run, {"unet": tuned, "adapter": adapter, "optimizer": optimizer}, take_step)
    differences = {
        name: parameter.detach() - before[name] for name, parameter in projections.items()
    }
    return differences, dict(adapter.state_dict())
