"""CONDITIONING for inpainting: what each kind of model is shown of the mask and the picture.

Importable only inside ComfyUI.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import comfy.hooks
import comfy.model_base
import node_helpers
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ...techniques.soft_inpaint import InpaintCondition

Conditioning = list[list[Any]]

# The latents of all pictures, which tell a sampling run which of them it has.
LATENTS = "visage_inpaint_latents"
OF_EVERY_PICTURE = ("noise_concat", "concat_latent_image", "concat_mask", "cross_attn")


def attach_inpaint(
    conditionings: Sequence[Conditioning], condition: InpaintCondition
) -> list[Conditioning]:
    """Make conditionings that give an inpainting model the soft mask and the masked picture.

    Pass all prompts of a run together, or they run in separate batches. The effect depends on the
    model, and the log says which it is:

    - a UNet with 9 channels gets the mask soft: `noise_concat` carries the five channels past
      ComfyUI's rounding; the native keys stay beside it, so a ComfyUI that does not know
      `noise_concat` inpaints as it always did. A run at another size gets them at that size;
    - Flux Fill gets mask and picture by the native keys, which do not round for it;
    - a model without channels for a mask repaints inside the latent's noise mask alone.

    A run with a model of other channels, or with another latent space than the VAE's, raises
    ValueError.
    """
    values = {
        "noise_concat": condition.concat,
        "concat_latent_image": condition.masked_latent,
        "concat_mask": condition.mask.unsqueeze(1),
        LATENTS: condition.latent,
    }
    combined: dict = {}
    return [
        comfy.hooks.set_hooks_for_conditioning(
            node_helpers.conditioning_set_values(conditioning, values),
            _INPAINT_HOOKS,
            cache=combined,
        )
        for conditioning in conditionings
    ]


def _choose_pictures(executor, noise, latent, *args, **kwargs):
    """Where some pictures of a batch are sampled, as after Latent From Batch, show the UNet their
    masks and prompts; ComfyUI itself would take the first ones'."""
    guider = executor.class_obj
    guider.conds = {
        role: [_of_pictures(cond, latent) for cond in entries]
        for role, entries in guider.conds.items()
    }
    return executor(noise, latent, *args, **kwargs)


def _of_pictures(cond: dict[str, Any], latent: torch.Tensor) -> dict[str, Any]:
    latents = cond.get(LATENTS)
    if latents is None or len(latent) >= len(latents) or latent.shape[1:] != latents.shape[1:]:
        return cond
    rows = []
    for picture in latent:
        same = [row for row, own in enumerate(latents) if torch.equal(own.to(picture), picture)]
        if not same:
            return cond
        rows.append(same[0])
    chosen = {
        name: cond[name][rows]
        for name in OF_EVERY_PICTURE
        if isinstance(cond.get(name), torch.Tensor) and len(cond[name]) == len(latents)
    }
    return {**cond, **chosen}


def _prepare_inpainting(executor, model: ModelPatcher, noise_shape, conds, *args, **kwargs):
    """Check the model and fit the attached channels to it, once, when a run starts."""
    network = model.model
    name = type(network.model_config).__name__
    _check_latents(model, name, conds)
    fit = _fit_channels
    channels = network.model_config.unet_config.get("in_channels")
    if isinstance(network, comfy.model_base.Flux) and _sees_a_mask(network):
        logging.info("Soft Inpaint: %s is shown the soft mask and the masked picture.", name)
        fit = _without_unet_channels
    elif channels == 9 and "masked_image" in network.concat_keys:
        logging.info("Soft Inpaint: %s is shown the mask in its channels 5 to 9.", name)
    elif _has_no_channels_for_a_mask(network, channels):
        logging.info(
            "Soft Inpaint: %s has no channels for a mask: it repaints inside the noise mask, best "
            "with Differential Diffusion and a denoise below 1.",
            name,
        )
        fit = _without_unet_channels
    else:
        raise ValueError(
            f"VisageSoftInpaint knows inpainting UNets of 9 channels, Flux Fill, and models that "
            f"take the latent alone; this model ({name}) takes {channels} channels for latents of "
            f"{network.latent_format.latent_channels}. Use VAEEncode and SetLatentNoiseMask in "
            "its place."
        )
    fitted = {
        role: [fit(cond, model, noise_shape) for cond in entries] for role, entries in conds.items()
    }
    return executor(model, noise_shape, fitted, *args, **kwargs)


def _check_latents(model: ModelPatcher, name: str, conds: dict) -> None:
    """Raise ValueError when the VAE was another model's."""
    wanted = model.model.latent_format.latent_channels
    for cond in (cond for entries in conds.values() for cond in entries):
        latent = cond.get("concat_latent_image")
        if latent is not None and latent.shape[1] != wanted:
            raise ValueError(
                f"VisageSoftInpaint: the VAE made latents of shape {list(latent.shape)}, and this "
                f"model ({name}) takes [B, {wanted}, h, w]. Connect the VAE that belongs to it."
            )


def _sees_a_mask(network: comfy.model_base.Flux) -> bool:
    """Whether this Flux is Fill: its channels hold latent, masked picture and mask."""
    config = network.model_config.unet_config
    return config["in_channels"] > 2 * network.latent_format.latent_channels


def _has_no_channels_for_a_mask(network, channels: int | None) -> bool:
    """Whether the network takes the noisy latent and nothing beside it."""
    latent = network.latent_format.latent_channels
    if isinstance(network, comfy.model_base.Flux):
        return network.model_config.unet_config["in_channels"] == latent
    return channels == latent and not network.concat_keys


def _without_unet_channels(
    cond: dict[str, Any], model: ModelPatcher, noise_shape
) -> dict[str, Any]:
    return {key: value for key, value in cond.items() if key != "noise_concat"}


def _fit_channels(cond: dict[str, Any], model: ModelPatcher, noise_shape) -> dict[str, Any]:
    """The attached channels at the model's own latent scale and this run's latent size."""
    if "noise_concat" not in cond or "concat_latent_image" not in cond:
        return cond
    picture = model.model.process_latent_in(cond["concat_latent_image"])
    concat = torch.cat((cond["noise_concat"][:, :1], picture), dim=1).to(model.load_device)
    if concat.shape[-2:] != noise_shape[-2:]:
        concat = F.interpolate(concat, noise_shape[-2:], mode="bilinear", antialias=True)
    return {**cond, "noise_concat": concat}


# A hook travels on the conditioning, so all this is gone when the node is bypassed. There is one
# for all conditionings, because those which share their hooks are batched together.
_INPAINT_HOOKS = comfy.hooks.HookGroup()
_INPAINT_HOOKS.add(
    comfy.hooks.TransformerOptionsHook(
        {
            "wrappers": {
                WrappersMP.OUTER_SAMPLE: {"visage_inpaint": [_choose_pictures]},
                WrappersMP.PREPARE_SAMPLING: {"visage_inpaint": [_prepare_inpainting]},
            }
        }
    )
)
