"""The identity guard as a patch of a ComfyUI model. Importable only inside ComfyUI.

In a stock sampler's run it reads, at each step, what the model makes of the original under the
run's own noise, and guards the self-attentions and the expected clean latent without gradients.
Our own hosts, which sample by branches that no sampler runs, ask `guard_of` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch import Tensor

from ...diffusion.sampling import seeded_noise
from ...diffusion.self_attention import for_rows, reading_taps, style_attentions
from ...techniques.identity_guard import IdentityGuard, anchored, guarding_taps
from .branches import attention_layers, require_noise_unet, tapped

_KEY = "visage_identity_guard"


def apply_identity_guard(model: ModelPatcher, guard: IdentityGuard) -> ModelPatcher:
    """A clone of the model whose runs are guarded. With a guard that does nothing it is a plain
    clone.

    Raises ValueError for a model that is guarded already, or no Stable Diffusion UNet.
    """
    require_noise_unet(model)
    if guard_of(model) is not None:
        raise ValueError(
            "The model has an identity guard already. Use one guard, with the masks of all faces."
        )
    patched = model.clone()
    if not guard.idle:
        patched.set_attachments(_KEY, guard)
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, _KEY, _sampling(guard))
    return patched


def guard_of(model: ModelPatcher) -> IdentityGuard | None:
    """The guard on a model, for a host that applies it itself."""
    return model.get_attachment(_KEY)


def _sampling(guard: IdentityGuard) -> Callable:
    """A wrapper of one sampler's run: what it adds to the options is gone with the run."""

    def sample(executor, guider, sigmas, extra_args, callback, noise, *args, **kwargs):
        guard.require_fit(noise.shape)
        run = _Run(guard, guider.model_patcher, noise, extra_args.get("seed"))
        options = comfy.model_patcher.create_model_options_clone(extra_args["model_options"])
        add_wrapper_with_key(
            WrappersMP.CALC_COND_BATCH, _KEY, run.predict, options, is_model_options=True
        )
        options["sampler_post_cfg_function"] = [
            *options.get("sampler_post_cfg_function", []),
            run.anchor,
        ]
        extra_args = {**extra_args, "model_options": options}
        return executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)

    return sample


class _Run:
    """A guard during one run of a sampler."""

    def __init__(
        self, guard: IdentityGuard, model: ModelPatcher, noise: Tensor, seed: int | None
    ) -> None:
        self.guard, self._sampling = guard, model.get_model_object("model_sampling")
        self._attentions = style_attentions(attention_layers(model))
        # A run that continues another one brings no noise.
        noise = noise if bool(noise.any()) else seeded_noise(noise, seed or 0)
        self._content, self._noise = for_rows(guard.content.to(noise), len(noise)), noise

    def predict(self, executor, model, conds, x, sigma, options, *args, **kwargs):
        """Each prompt's expected clean latent, with one more pass over the original before."""
        prompts = [entry for cond in conds if cond is not None for entry in cond]
        if not prompts or not self.guard.acts_at(self._progress(sigma)):
            return executor(model, conds, x, sigma, options, *args, **kwargs)
        # One row is enough; a prompt for a part of the picture would show that part alone.
        prompt = next((entry for entry in prompts if "area" not in entry), prompts[0])
        network, features = model.diffusion_model, {}
        level = sigma.view(-1, *[1] * (x.ndim - 1)).to(x)
        original = self._content.to(x) + level * self._noise.to(x)
        with tapped(network, options, reading_taps(features, self._attentions)) as reading:
            executor(model, [[prompt]], original, sigma, reading, *args, **kwargs)
        with tapped(network, options, guarding_taps(features, self.guard)) as guarded:
            return executor(model, conds, x, sigma, guarded, *args, **kwargs)

    def anchor(self, args: dict[str, Any]) -> Tensor:
        progress = self._progress(args["sigma"])
        if not self.guard.acts_at(progress):
            return args["denoised"]
        return anchored(args["denoised"], self.guard, progress)

    def _progress(self, sigma: Tensor) -> float:
        """Where in the noise schedule a step is: 0 all noise, 1 none."""
        timestep = self._sampling.timestep(torch.as_tensor(sigma).max().reshape(1))
        return 1 - float(timestep) / len(self._sampling.sigmas)
