"""Stage: the text encoder, trained to predict the facts that a caption states.

The last token of a caption predicts the facts of its portrait; for facts that the caption does not
name it can only learn their frequencies. The diffusion stage then starts from useful embeddings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..loop import Run, cosine_rate, optimizer_step, train
from .networks import build_text_encoder
from .tokenizer import tokenize


def fact_table(facts: list[dict]) -> tuple[list[str], Tensor]:
    """Return fact names ("Smiling", "hair=red") and a 0/1 matrix [portraits, facts]."""
    rows = [
        {name for name, present in fact["attributes"].items() if present}
        | {f"{key}={value}" for key, value in fact["traits"].items()}
        | {f"style={fact['style']}"}
        for fact in facts
    ]
    counts: dict[str, int] = {}
    for row in rows:
        for name in row:
            counts[name] = counts.get(name, 0) + 1
    enough = len(facts) // 200 + 1
    names = sorted(name for name, count in counts.items() if enough <= count < len(facts))
    return names, torch.tensor([[name in row for name in names] for row in rows]).float()


def train_text(
    recipe: dict[str, Any], seed: int, tokenizer, facts: list[dict], folder: Path
) -> nn.Module:
    """Train a CLIP text model on caption -> facts and return it."""
    torch.manual_seed(seed)
    encoder = build_text_encoder(recipe["network"], tokenizer)
    names, targets = fact_table(facts)
    head = nn.Linear(recipe["network"]["hidden_size"], len(names))
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe["learning_rate"], weight_decay=1e-2)
    run = Run(folder, "text", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 3, step])
        chosen = rng.integers(len(facts), size=recipe["batch"])
        captions = [str(rng.choice(facts[index]["captions"])) for index in chosen]
        ids = tokenize(tokenizer, captions)
        # Attention is causal, so the padding that all captions share can be cut off.
        length = int((ids != tokenizer.eos_token_id).sum(1).max()) + 1
        with torch.autocast("cpu", torch.bfloat16):
            pooled = encoder(input_ids=ids[:, :length]).pooler_output
            logits = head(pooled)
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets[chosen])
        rate = recipe["learning_rate"] * cosine_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, parameters)
        return {"loss": loss.item()}

    train(run, {"encoder": encoder, "head": head, "optimizer": optimizer}, take_step)
    return encoder.eval()
