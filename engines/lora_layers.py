"""LoRA layers in a UNet's attention projections, ready to be trained, on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.sampling import seeded_generator
from ..diffusion.taps import Branch
from ..models.style_lora import Factors, StyleLora

# All four projections of self-attention and cross-attention, under diffusers' and ComfyUI's names.
PROJECTIONS = r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)"


@dataclass(frozen=True)
class TrainableLora:
    """A UNet with fresh LoRA layers, which change nothing yet.

    branch predicts noise for the training prompt; alphas [T] are the schedule's cumulated alphas;
    velocity says that the model was trained to predict velocity; parameters, float32, are all
    that there is to train; lora() gives them as they stand, on the CPU.
    """

    branch: Branch
    alphas: Tensor
    velocity: bool
    parameters: list[nn.Parameter]
    lora: Callable[[], StyleLora]


LoraParameters = dict[str, tuple[nn.Parameter, nn.Parameter]]


@contextmanager
def lora_layers(network: nn.Module, rank: int, seed: int) -> Iterator[LoraParameters]:
    """Put LoRA layers on a network's attention projections; taken off again on leaving.

    Gives (down [rank, in], up [out, rank]) by module name. Down starts as N(0, 1 / rank^2) and up
    as 0, with alpha = rank. Raises ModuleNotFoundError, saying what to install, without PEFT.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Training a LoRA needs the package peft: `pip install peft` into the Python that runs "
            "this (for ComfyUI: ComfyUI's own Python)."
        ) from error
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=PROJECTIONS)
    tuner = LoraModel(network, config, "style")
    generator = seeded_generator(seed)
    factors = {}
    try:
        for name, module in network.named_modules():
            if hasattr(module, "lora_A"):
                down: Any = module.get_submodule("lora_A.style")
                up: Any = module.get_submodule("lora_B.style")
                start = torch.randn(down.weight.shape, generator=generator) / rank
                for layer, value in ((down, start), (up, torch.zeros(up.weight.shape))):
                    layer.weight = nn.Parameter(value.to(layer.weight.device, torch.float32))
                factors[name] = (down.weight, up.weight)
        yield factors
    finally:
        tuner.unload()


def as_style_lora(factors: LoraParameters, file_name: Callable[[str], str]) -> StyleLora:
    """The layers' present weights, copied to the CPU, under the names of a LoRA file."""
    return StyleLora(
        {
            file_name(name): Factors(
                down.detach().cpu().clone(), up.detach().cpu().clone(), len(down)
            )
            for name, (down, up) in factors.items()
        }
    )
