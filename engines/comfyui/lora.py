"""Training a LoRA on a ComfyUI model, whatever loader it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import comfy.model_base
import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ..lora_layers import TrainableLora, as_style_lora, lora_layers
from .branches import ComfyUIRun
from .gradients import ordinary, private_copy
from .inpaint_conditioning import Conditioning


@contextmanager
def trainable_lora(
    model: ModelPatcher,
    prompt: Conditioning,
    shape: Sequence[int],
    rank: int,
    seed: int,
    precision: str = "auto",
) -> Iterator[TrainableLora]:
    """A private copy of the model's UNet with LoRA layers, for latents [1, 4, h, w].

    The copy is made of ordinary tensors: ComfyUI loads models in inference mode, and no gradient
    passes through such weights. It computes in "fp32" or "bf16"; "auto" takes bf16 on devices
    that have it. Gradients are on within the context. Raises ValueError for other kinds of models.
    """
    with torch.inference_mode(False), torch.enable_grad():
        patcher = private_copy(model, precision)
        file_name = _file_names(model)
        with (
            ComfyUIRun(patcher, shape) as run,
            lora_layers(patcher.model.diffusion_model, rank, seed) as factors,
        ):
            yield TrainableLora(
                run.branch([ordinary(prompt)]),
                run.alphas,
                model.model.model_type == comfy.model_base.ModelType.V_PREDICTION,
                [parameter for pair in factors.values() for parameter in pair],
                lambda: as_style_lora(factors, file_name),
            )


def _file_names(model: ModelPatcher) -> Callable[[str], str]:
    """From a module name of ComfyUI's UNet to that of a LoRA file: kohya's tools name SDXL's layers
    by the original UNet, which ComfyUI's is, and the others as diffusers does."""
    if isinstance(model.model, (comfy.model_base.SDXL, comfy.model_base.SDXLRefiner)):
        return lambda name: name.replace(".", "_")
    key_map = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    return {
        own.removesuffix(".weight"): name.removesuffix(".weight").replace(".", "_")
        for name, own in key_map.items()
        if name.endswith(".weight")
    }.__getitem__
