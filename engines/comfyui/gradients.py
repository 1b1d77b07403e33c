"""Gradients through ComfyUI's models. Importable only inside ComfyUI.

ComfyUI runs nodes in torch's inference mode, and no gradient passes through tensors that were made
there: neither weights nor prompts. So the UNet is copied, and the model itself stays as it is.
"""

from __future__ import annotations

import copy
import functools

import comfy.model_management
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .branches import require_noise_unet
from .inpaint_conditioning import Conditioning

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def private_copy(model: ModelPatcher, precision: str = "auto") -> ModelPatcher:
    """A model whose network and noise schedule are our own and ordinary tensors; all else shared.

    Call it outside inference mode. Patches of weights, such as a LoRA, become part of the copy. It
    computes in "fp32" or "bf16"; "auto" takes bf16 on devices that have it. Raises ValueError for
    other kinds of models than `ComfyUIRun` takes.
    """
    require_noise_unet(model)
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([model], force_full_load=True)
    device = model.load_device
    if precision == "auto":
        precise = device.type == "cpu" or not comfy.model_management.should_use_bf16(device)
        precision = "fp32" if precise else "bf16"
    dtype = PRECISIONS[precision]
    private = copy.copy(model.model)
    network = copy.deepcopy(model.model.diffusion_model).to(device, dtype)
    network.dtype = dtype
    private._modules = {
        **model.model._modules,
        "diffusion_model": network,
        "model_sampling": copy.deepcopy(model.model.model_sampling),
    }
    private.manual_cast_dtype = None
    patcher = ModelPatcher(private, device, model.offload_device)
    patcher.model_options = copy.copy(model.model_options)
    return patcher


def ordinary(prompt: Conditioning) -> Conditioning:
    """A prompt made of ordinary tensors; call it outside inference mode."""

    def cloned(value):
        return value.clone() if isinstance(value, Tensor) else value

    return [
        [cloned(text), {name: cloned(value) for name, value in values.items()}]
        for text, values in prompt
    ]


def use_checkpointing(unet: nn.Module) -> None:
    """Recompute each block for its gradient: less memory for a third more time."""
    for module in unet.modules():
        if isinstance(module, ResBlock | SpatialTransformer):
            module.forward = functools.partial(_checkpointed, module.forward)


def _checkpointed(forward, *args, **kwargs):
    # ComfyUI writes the block it is in into its options; recomputing must find it unchanged.
    args = [dict(value) if isinstance(value, dict) else value for value in args]
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
