"""A LoRA on the diffusers engine: trained on its UNet, and applied to its text encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from ...diffusion.taps import swapped_weights
from ...models.style_lora import StyleLora, text_differences
from ..lora_layers import TrainableLora, as_style_lora, lora_layers
from . import DiffusersEngine
from .branches import DiffusersRun


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


@contextmanager
def text_lora(engine: DiffusersEngine, lora: StyleLora, strength: float = 1.0) -> Iterator[None]:
    """The engine's text encoder with a LoRA's part for it, while `engine.encode_text` is called.

    Raises ValueError, naming both shapes, when the LoRA was made for another model.
    """
    modules = dict(engine.text_encoder.named_modules())
    shapes = {name: one.weight.shape for name, one in modules.items() if isinstance(one, nn.Linear)}
    weights = [
        (modules[name], "weight", nn.Parameter(modules[name].weight + strength * delta, False))
        for name, delta in text_differences(lora, shapes).items()
    ]
    with swapped_weights(weights):
        yield
