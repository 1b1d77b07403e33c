"""How a diffusers network is prepared for training from random weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn


@torch.no_grad()
def zero_residual_branches(network: nn.Module) -> None:
    """Set the last layer of every residual branch to zero, so that each block starts as identity.

    The branches are those of convolution blocks and of attention: of a transformer as a whole
    where the attention belongs to one (UNet), otherwise of the attention itself (autoencoder).

    Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021.
    """
    for layer in _branch_ends(network):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def _branch_ends(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, ResnetBlock2D):
        yield module.conv2
    elif isinstance(module, Transformer2DModel):
        yield module.proj_out
    elif isinstance(module, Attention):
        yield module.to_out[0]
    else:
        for child in module.children():
            yield from _branch_ends(child)


def use_plain_attention(unet: UNet2DConditionModel) -> None:
    """Compute attention as softmax(Q K^T / sqrt(d)) V, without the fused kernel.

    On a CPU the backward pass then takes half the time, at the 256 tokens that are trained on.
    """
    unet.set_attn_processor(AttnProcessor())
