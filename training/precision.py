"""The device of a training, and its number format: bf16 where the hardware supports it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, by default the CPU. Raises ValueError for a missing device."""
    device = torch.device(name or "cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: torch finds no CUDA device here. Leave --device out to train on "
            "the CPU."
        )
    return device


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bf16 is quicker than fp32: on GPUs, and on CPUs with AMX or AVX-512 BF16."""
    if device.type != "cpu":
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def autocast(device: torch.device | str = "cpu") -> AbstractContextManager:
    """Return a bf16 autocast where bf16 is quicker, else one of fp32: emulated bf16 is slow."""
    device = torch.device(device)
    if multiplies_bf16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
