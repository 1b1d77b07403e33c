"""What a narrow model of Flux Fill's layout receives of a soft mask. Needs ComfyUI."""

from __future__ import annotations

import torch
from torch import Tensor

from ..techniques.soft_inpaint import inpaint_condition, to_latent_size

SIZE = 96  # pixels
PROMPT, POOLED = 32, 16
LATENT, SHOWN = 16, 16 + 16 + 64
FILL = {
    "image_model": "flux",
    "guidance_embed": True,
    "in_channels": SHOWN,
    "out_channels": LATENT,
    "patch_size": 2,
    "vec_in_dim": POOLED,
    "context_in_dim": PROMPT,
    "hidden_size": 128,
    "mlp_ratio": 4.0,
    "num_heads": 1,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "qkv_bias": True,
    "dtype": torch.float32,
}


def flux_fill_mask_values() -> int:
    """Number of different values of a soft-edged disc in the network's mask channels."""
    import comfy.samplers

    from ..engines.comfyui.inpaint_conditioning import attach_inpaint

    drawn = torch.Generator().manual_seed(0)
    model, seen = _narrow_fill(drawn), []
    model.model.diffusion_model.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].clone())
    )
    text = torch.randn(1, 6, PROMPT, generator=drawn)
    prompt = [[text, {"pooled_output": torch.randn(1, POOLED, generator=drawn)}]]
    picture = torch.rand(1, SIZE, SIZE, 3, generator=drawn)
    with torch.inference_mode():
        condition = inpaint_condition(picture, soft_disc(), _sixteen_channels, 1.0)
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(*attach_inpaint([prompt, prompt], condition))
        guider.set_cfg(1.0)
        guider.sample(
            torch.randn(condition.latent.shape, generator=drawn),
            condition.latent,
            comfy.samplers.sampler_object("euler"),
            torch.tensor([1.0, 0.0]),
            denoise_mask=to_latent_size(condition.mask),
        )
    return len(seen[0][:, 2 * LATENT :].unique())


def soft_disc() -> Tensor:
    """A disc whose edge fades over 30 px, [1, SIZE, SIZE] in 0..1."""
    cells = torch.arange(SIZE) - SIZE / 2
    distance = (cells[:, None] ** 2 + cells[None, :] ** 2).sqrt()
    return ((45 - distance) / 30).clamp(0, 1).unsqueeze(0)


def _sixteen_channels(pictures: Tensor) -> Tensor:
    """Stand-in latents [B, 16, h, w]: the mean colours of the cells, repeated."""
    cells = torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), 8)
    return cells.repeat(1, 6, 1, 1)[:, :LATENT]


def _narrow_fill(drawn: torch.Generator):
    import comfy.model_base
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher

    from ..engines.comfyui.core import later_flux

    config = comfy.supported_models.Flux({"image_model": "flux", "guidance_embed": True})
    config.unet_config = {**FILL, **later_flux()}
    config.set_inference_dtype(torch.float32, None)
    network = comfy.model_base.Flux(config)
    with torch.inference_mode():
        for value in network.diffusion_model.parameters():
            value.copy_(0.05 * torch.randn(value.shape, generator=drawn))
    return ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))
