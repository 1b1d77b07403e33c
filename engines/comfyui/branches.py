"""Branches of a ComfyUI model: several prompts and LoRAs on one loaded UNet, with taps.

Conditionings are prepared and batched by ComfyUI itself, so ControlNet, regional prompts, the
patches of other packs and its memory management keep working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.float
import comfy.hooks
import comfy.lora
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import comfy.utils
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor, nn

from ...diffusion.taps import Attention, Branch, Taps, Weights, swapped_weights
from .inpaint_conditioning import Conditioning

_PREDICTIONS = (
    comfy.model_base.ModelType.EPS,
    comfy.model_base.ModelType.V_PREDICTION,
)


def require_noise_unet(model: ModelPatcher) -> None:
    """Raise ValueError for a model that is not a UNet which predicts noise or velocity."""
    if getattr(model.model, "model_type", None) not in _PREDICTIONS or not hasattr(
        model.model.diffusion_model, "output_blocks"
    ):
        raise ValueError(
            f"{type(model.model).__name__} is not a Stable Diffusion UNet which predicts noise "
            "or velocity. Use SD 1.5, SD 2, SDXL or the built-in starter."
        )


def attention_layers(model: ModelPatcher) -> list[int]:
    """The decoder layers of a UNet that have attention."""
    return [
        layer
        for layer, block in enumerate(model.model.diffusion_model.output_blocks)
        if any(hasattr(module, "transformer_blocks") for module in block)
    ]


def into_model(model: ModelPatcher, latent: Tensor) -> Tensor:
    """The latent [B, 4, h, w] of a VAE, scaled as the model's UNet takes it."""
    return model.model.process_latent_in(latent)


class ComfyUIRun:
    """One loaded model for latents [B, 4, h, w] of one shape, and branches that share its UNet:
    `diffusion.run.Run`.

    A context manager: leaving it cleans up what the models of the branches left behind. Raises
    ValueError for a model that is not a UNet which predicts noise or velocity.
    """

    def __init__(self, model: ModelPatcher, shape: Sequence[int]) -> None:
        require_noise_unet(model)
        self.model = model
        self._shape = tuple(shape)
        self._used: list[ModelPatcher] = []
        self._extra: list[Any] = []
        self._conds: list[dict[str, Any]] = []
        self._worn: dict[Any, Weights] = {}

    def __enter__(self) -> ComfyUIRun:
        return self

    def __exit__(self, *_: object) -> None:
        for patcher in self._used:
            comfy.samplers.cast_to_load_options(
                patcher.model_options, device=patcher.offload_device
            )
            patcher.cleanup()
        for conds in self._conds:
            comfy.sampler_helpers.cleanup_models(conds, [])
        comfy.sampler_helpers.cleanup_additional_models(self._extra)

    @property
    def alphas(self) -> Tensor:
        """The training schedule's cumulated alphas [T], float64."""
        return 1 / (1 + self.model.model.model_sampling.sigmas.double().cpu() ** 2)

    @property
    def attention_layers(self) -> list[int]:
        """The decoder layers that have attention."""
        return attention_layers(self.model)

    @property
    def device(self) -> torch.device:
        """Where the UNet runs."""
        return self.model.load_device

    def into_model(self, latent: Tensor) -> Tensor:
        """The latent [B, 4, h, w] of a VAE, scaled as the UNet takes it."""
        return into_model(self.model, latent)

    def out_of_model(self, latent: Tensor) -> Tensor:
        """The UNet's latent [B, 4, h, w], scaled as the VAE takes it."""
        return self.model.model.process_latent_out(latent)

    def branch(
        self,
        prompts: Sequence[Conditioning],
        style: ModelPatcher | None = None,
        bypassed: frozenset[Attention] = frozenset(),
    ) -> Branch:
        """A branch for R prompts under the weights of a clone of the run's model, LoRA and all.

        In the bypassed attentions the clone keeps the run's own weights. Raises ValueError for a
        model that is no clone, or whose LoRA does not fit.
        """
        styled = style or self.model
        if not styled.is_clone(self.model):
            raise ValueError(
                "The style's model is another base model than the one that was inverted. Put the "
                "LoRA loader behind the same model that goes into Invert and DiffStyler."
            )
        clone = styled.clone()
        conds = {
            str(row): comfy.sampler_helpers.convert_cond(prompt)
            for row, prompt in enumerate(prompts)
        }
        _refuse_weight_hooks(conds)
        options = clone.model_options
        comfy.samplers.preprocess_conds_hooks(conds)
        comfy.sampler_helpers.prepare_model_patcher(clone, conds, options)
        comfy.samplers.filter_registered_hooks_on_conds(conds, options)
        wrappers = get_all_wrappers(WrappersMP.PREPARE_SAMPLING, options, is_model_options=True)
        executor = WrapperExecutor.new_executor(self._load, wrappers)
        _, conds, _ = executor.execute(clone, self._shape, conds, model_options=options)
        device = self.model.load_device
        comfy.samplers.cast_to_load_options(options, device=device, dtype=clone.model_dtype())
        clone.pre_run()
        self._used.append(clone)
        conds = comfy.samplers.process_conds(
            clone.model,
            torch.zeros(self._shape, device=device),
            conds,
            device,
            # No mask: an inpainting model then shows its UNet a wholly masked, grey picture.
            latent_image=torch.zeros(self._shape, device=device),
        )
        self._conds.append(conds)
        return self._predictor(clone, list(conds.values()), self._weights(styled, bypassed))

    def _load(self, model: ModelPatcher, shape, conds, model_options=None):
        """ComfyUI's own loading, except that the run's model is loaded in the clone's place."""
        extra, memory = comfy.sampler_helpers.get_additional_models(conds, model.model_dtype())
        extra += comfy.sampler_helpers.get_additional_models_from_model_options(model_options)
        extra += model.get_nested_additional_models()
        self._extra += extra
        needed, _ = comfy.sampler_helpers.estimate_memory(model, shape, conds)
        comfy.model_management.load_models_gpu(
            # Weights that change hands cannot be patched on their way from the CPU.
            [self.model, *extra],
            memory_required=needed + memory,
            force_full_load=True,
        )
        return model.model, conds, extra

    def _predictor(self, clone: ModelPatcher, conds: list, weights: Weights) -> Branch:
        network, options = clone.model, clone.model_options
        sigmas = network.model_sampling.sigmas

        def predict(latent: Tensor, timestep: int, taps: Taps | None = None) -> Tensor:
            comfy.model_management.throw_exception_if_processing_interrupted()
            sigma = sigmas[timestep].to(clone.load_device, torch.float32)
            x = latent.to(sigma.device) * (1 + sigma**2).sqrt()
            network.current_patcher = clone
            with (
                swapped_weights(weights),
                tapped(network.diffusion_model, options, taps) as tapped_options,
            ):
                denoised = comfy.samplers.calc_cond_batch(
                    network, conds, x, sigma.expand(len(x)), tapped_options
                )
            return torch.stack([(x - part) / sigma for part in denoised])

        return predict

    def _weights(self, styled: ModelPatcher, bypassed: frozenset[Attention]) -> Weights:
        """The weights in which a clone differs, merged once; equal clones share them."""
        key = (styled.patches_uuid, bypassed)
        if key not in self._worn:
            network = self.model.model
            self._worn[key] = [
                (*_owner(network, name), nn.Parameter(self._merge(styled, name), False))
                for name in changed_weights(self.model, styled)
                if not name.startswith(_prefixes(bypassed) or "\0")
            ]
        return self._worn[key]

    def _merge(self, styled: ModelPatcher, name: str) -> Tensor:
        """One weight with the clone's patches, as ModelPatcher would patch it."""
        current, set_weight, _ = comfy.model_patcher.get_key_weight(self.model.model, name)
        if set_weight is not None:
            raise ValueError(
                "The model's weights are quantised, and a LoRA cannot be switched on them. Load "
                "the model in 16 or 32 bits."
            )
        original = self.model.backup[name].weight if name in self.model.backup else current
        patches = styled.patches.get(name, [])
        _require_fit(patches, name, original.shape)
        merged = original.detach().to(current.device, torch.float32, copy=True)
        if patches:
            merged = comfy.lora.calculate_weight(patches, merged, name)
        seed = comfy.model_patcher.string_to_seed(name)
        return comfy.float.stochastic_rounding(merged, current.dtype, seed=seed)


def changed_weights(model: ModelPatcher, clone: ModelPatcher) -> list[str]:
    """Names of the weights that a clone patches otherwise than the model does."""
    return [
        name
        for name in {**model.patches, **clone.patches}
        if not _same_patches(model.patches.get(name, []), clone.patches.get(name, []))
    ]


def _same_patches(first: list, second: list) -> bool:
    # A clone copies the lists and shares what is in them.
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def _require_fit(patches: list, name: str, shape: Sequence[int]) -> None:
    """Raise for a LoRA of other shapes, which ComfyUI only logs and ignores."""
    for _, patch, *_ in patches:
        factors = getattr(patch, "weights", None)
        if getattr(patch, "name", None) != "lora" or factors is None:
            continue
        made = [factors[0].shape[0], *factors[1].shape[1:]]
        if list(shape)[: len(made)] != made:
            raise ValueError(
                f"The style's LoRA was made for another base model: its factors of {name} fit a "
                f"weight {made} and this model has {list(shape)}. Use a LoRA that was trained on "
                "this model."
            )


def _refuse_weight_hooks(conds: dict[str, list[dict[str, Any]]]) -> None:
    for cond in (cond for entries in conds.values() for cond in entries):
        hooks = cond.get("hooks")
        if hooks is not None and hooks.get_type(comfy.hooks.EnumHookType.Weight):
            raise ValueError(
                "A prompt of this style carries a LoRA as a hook. Put the LoRA on the style's "
                "model with a LoRA loader instead: DiffStyler switches models by itself."
            )


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    owner, _, attribute = name.rpartition(".")
    return network.get_submodule(owner), attribute


def _prefixes(attentions: frozenset[Attention]) -> tuple[str, ...]:
    """How the names of these attentions' weights begin; up to ten transformer blocks (SDXL)."""
    return tuple(
        f"diffusion_model.output_blocks.{layer}.1.transformer_blocks.{block}."
        f"{'attn1' if kind == 'self' else 'attn2'}."
        for layer, kind in attentions
        for block in range(10)
    )


@contextmanager
def tapped(network: nn.Module, options: dict, taps: Taps | None) -> Iterator[dict]:
    """Model options with the taps in them, and hooks on the tapped convolutions meanwhile."""
    taps = taps or Taps()
    # ComfyUI writes into these dictionaries while it runs.
    transformer = dict(options.get("transformer_options", {}))
    replaced = {name: dict(found) for name, found in transformer.get("patches_replace", {}).items()}
    for attention in taps.touched:
        name = "attn1" if attention.kind == "self" else "attn2"
        by_place = replaced.setdefault(name, {})
        for block in range(len(_transformer_blocks(network, attention.layer))):
            place = ("output", attention.layer)
            # Another pack's attention comes after our edit of what it attends to.
            attend = by_place.get((*place, block), by_place.get(place, _attend))
            by_place[(*place, block)] = _tapped_attention(attention, block, taps, attend)
    transformer["patches_replace"] = replaced
    hooks = [
        network.get_submodule(f"output_blocks.{layer}.0.out_layers").register_forward_hook(
            # A hook's return value replaces the output.
            lambda _m, _i, out, edit=edit: edit(out)
        )
        for layer, edit in taps.features.items()
    ]
    try:
        yield {**options, "transformer_options": transformer}
    finally:
        for hook in hooks:
            hook.remove()


def _transformer_blocks(network: nn.Module, layer: int) -> nn.ModuleList:
    for module in network.get_submodule(f"output_blocks.{layer}").children():
        if hasattr(module, "transformer_blocks"):
            return module.transformer_blocks
    raise ValueError(f"Decoder layer {layer} of this UNet has no attention to tap.")


def _attend(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
    return optimized_attention(q, k, v, extra["n_heads"], attn_precision=extra["attn_precision"])


@dataclass(frozen=True)
class _Attend:
    """`taps.Attend` for one call of one attention."""

    attend: Callable
    extra: dict[str, Any]

    @property
    def heads(self) -> int:
        return self.extra["n_heads"]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k, v, self.extra)


def _tapped_attention(attention: Attention, block: int, taps: Taps, attend):
    edit, edit_output = taps.projections.get(attention), taps.outputs.get(attention)
    replace = taps.attentions.get(attention)

    def attend_tapped(q: Tensor, k: Tensor, v: Tensor, extra: dict[str, Any]) -> Tensor:
        if edit is not None:
            q, k, v = edit(block, q, k, v)
        if replace is None:
            out = attend(q, k, v, extra)
        else:
            out = replace(block, q, k, v, _Attend(attend, extra))
        return out if edit_output is None else edit_output(block, out)

    return attend_tapped
