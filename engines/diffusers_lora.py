"""Training a LoRA on the diffusers engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .diffusers import DiffusersEngine
from .diffusers_branches import DiffusersRun
from .lora_layers import TrainableLora, as_style_lora, lora_layers


@contextmanager
def trainable_lora(
    engine: DiffusersEngine, prompt: str, shape: Sequence[int], rank: int, seed: int
) -> Iterator[TrainableLora]:
    """The engine's UNet with LoRA layers for latents [1, 4, h, w]; without them on leaving."""
    run = DiffusersRun(engine, tuple(shape))
    text = engine.encode_text([prompt]).detach()
    with lora_layers(engine.unet, rank, seed) as factors:
        yield TrainableLora(
            run.branch(text),
            run.alphas,
            engine.prediction == "v_prediction",
            [parameter for pair in factors.values() for parameter in pair],
            lambda: as_style_lora(factors, lambda name: name.replace(".", "_")),
        )
