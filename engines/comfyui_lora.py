"""Training a LoRA on a ComfyUI model, whatever loader it came from."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import comfy.model_base
import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .comfyui import Conditioning
from .comfyui_branches import ComfyUIRun
from .lora_layers import TrainableLora, as_style_lora, lora_layers

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


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
    with ComfyUIRun(model, shape):
        comfy.model_management.load_models_gpu([model], force_full_load=True)
    device = model.load_device
    if precision == "auto":
        precise = device.type == "cpu" or not comfy.model_management.should_use_bf16(device)
        precision = "fp32" if precise else "bf16"
    with torch.inference_mode(False), torch.enable_grad():
        patcher = _private_copy(model, PRECISIONS[precision])
        names = _diffusers_names(model)
        with (
            ComfyUIRun(patcher, shape) as run,
            lora_layers(patcher.model.diffusion_model, rank, seed) as factors,
        ):
            yield TrainableLora(
                run.branch([_ordinary(prompt)]),
                run.alphas,
                model.model.model_type == comfy.model_base.ModelType.V_PREDICTION,
                [parameter for pair in factors.values() for parameter in pair],
                lambda: as_style_lora(factors, names.__getitem__),
            )


def _private_copy(model: ModelPatcher, dtype: torch.dtype) -> ModelPatcher:
    """A model of our own: network and noise schedule copied, all else shared."""
    private = copy.copy(model.model)
    network = copy.deepcopy(model.model.diffusion_model).to(model.load_device, dtype)
    network.dtype = dtype
    sampling = copy.deepcopy(model.model.model_sampling)
    private._modules = {
        **model.model._modules,
        "diffusion_model": network,
        "model_sampling": sampling,
    }
    private.manual_cast_dtype = None
    patcher = ModelPatcher(private, model.load_device, model.offload_device)
    patcher.model_options = copy.copy(model.model_options)
    return patcher


def _ordinary(prompt: Conditioning) -> Conditioning:
    def cloned(value):
        return value.clone() if isinstance(value, Tensor) else value

    return [
        [cloned(text), {name: cloned(value) for name, value in values.items()}]
        for text, values in prompt
    ]


def _diffusers_names(model: ModelPatcher) -> dict[str, str]:
    """A LoRA file's module name for each module name of ComfyUI's UNet."""
    key_map = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    return {
        own.removesuffix(".weight"): name.removesuffix(".weight").replace(".", "_")
        for name, own in key_map.items()
        if name.endswith(".weight")
    }
