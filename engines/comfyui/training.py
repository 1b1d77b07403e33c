"""ComfyUI's MODEL, CLIP and VAE, ready to learn. Importable only inside ComfyUI.

ComfyUI runs nodes in torch's inference mode, and weights that were loaded there can never take
part in a backward pass. So the UNet is copied to ordinary tensors; the user's model stays as it is.
"""

from __future__ import annotations

import contextlib
import copy

import comfy.model_base
import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...diffusion.noise_schedule import NoiseSchedule
from ..trainable import KV_PROJECTIONS, TrainableModel, hash_weights
from .gradients import use_checkpointing

_PREDICTIONS = {
    comfy.model_base.ModelType.EPS: "epsilon",
    comfy.model_base.ModelType.V_PREDICTION: "v_prediction",
}


class _Network(nn.Module):
    """ComfyUI's UNet with the arguments that training gives."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        return self.unet(x, timesteps, context=text)


def make_trainable(model: ModelPatcher, clip, vae) -> TrainableModel:
    """A copy of an inpainting MODEL that learns, with CLIP and VAE around it.

    Call it, and train, outside inference mode. Patches on the model, such as a LoRA, become part
    of the copy. Raises ValueError when the UNet does not take an inpainting model's nine channels.
    """
    unet = model.model.diffusion_model
    channels = getattr(unet, "in_channels", None)
    prediction = _PREDICTIONS.get(model.model.model_type)
    if channels != 9 or prediction is None:
        raise ValueError(
            "The face editor is trained on an inpainting model of Stable Diffusion 1.x, whose UNet "
            f"takes 9 channels; this one ({type(model.model.model_config).__name__}) takes "
            f"{channels}. Load an inpainting checkpoint or the built-in starter."
        )
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([model], force_full_load=True)
    network = _Network(copy.deepcopy(unet).requires_grad_(False))
    with torch.inference_mode():
        # The copy alone is needed on the device; CLIP and VAE come back when they are called.
        comfy.model_management.unload_all_models()
    projections = _projections(network.unet, model)
    latent_format = model.model.latent_format
    return TrainableModel(
        network=network,
        projections=projections,
        encode=lambda image: _outside(vae.encode, image),
        decode=lambda latent: _outside(vae.decode, latent).clamp(0, 1).cpu(),
        encode_text=lambda prompts: torch.cat(
            [_outside(_encode_prompt, clip, prompt) for prompt in prompts]
        ),
        # ComfyUI's memory manager brings both to the device when they are called.
        encoders=lambda device: contextlib.nullcontext(),
        use_checkpointing=lambda: use_checkpointing(network.unet),
        width=next(iter(projections.values())).shape[1],
        latent_scale=latent_format.scale_factor,
        schedule=_schedule(model.model.model_sampling.sigmas),
        prediction=prediction,
        unet_key=hash_weights(unet.state_dict()),
        vae_key=hash_weights(vae.first_stage_model.state_dict()),
        text_key=_text_key(clip),
    )


def _projections(unet: nn.Module, model: ModelPatcher) -> dict[str, nn.Parameter]:
    own = dict(unet.named_parameters())
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    projections = {
        name: own[key]
        for name, key in names.items()
        if name.endswith(KV_PROJECTIONS) and key in own
    }
    for parameter in projections.values():
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)
    return projections


def _outside(work, *arguments) -> Tensor:
    """What `work` gives in inference mode, where its weights were loaded, as an ordinary tensor."""
    with torch.inference_mode():
        result = work(*arguments)
    return result.float().clone()


def _encode_prompt(clip, prompt: str) -> Tensor:
    # Captions are plain text: their parentheses are no emphasis.
    plain = prompt.replace("(", "\\(").replace(")", "\\)")
    return clip.encode_from_tokens(clip.tokenize(plain))


def _text_key(clip) -> str:
    key = hash_weights(clip.cond_stage_model.state_dict())
    # Patches act when CLIP is loaded, so the weights alone do not tell them.
    return f"{key} {clip.patcher.patches_uuid}" if clip.patcher.patches else key


def _schedule(sigmas: Tensor) -> NoiseSchedule:
    """The schedule whose cumulated alphas these sigmas [T] stand for."""
    alphas = 1 / (1 + sigmas.detach().clone().cpu().double() ** 2)
    before = torch.cat((alphas.new_ones(1), alphas[:-1]))
    return NoiseSchedule(1 - alphas / before)
