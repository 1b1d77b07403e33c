"""SDXL on both engines with the same random weights: a narrow model of the same structure.

Two levels have attention, with 2 and 10 transformer blocks in a layer. Needs ComfyUI
(`import_comfyui`).
"""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from ..diffusion.sampling import add_noise, sample_euler
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.adapter import make_style, styled_denoiser
from ..engines.diffusers.branches import DiffusersRun
from ..engines.diffusers.engine import SdxlText
from ..models.ip_adapter import build_ip_adapter
from ..models.stand_ins import ip_adapter_shapes
from ..models.style_lora import Factors, StyleLora
from ..techniques.attention_distillation import AttentionDistillation, distil_style
from ..techniques.ddim_inversion import Trajectory
from ..techniques.diffstyler import Base, DiffStylerSettings, Style, region_weights, stylize
from ..techniques.identity_guard import IdentityGuard
from ..techniques.query_preserving import transfer_style
from ..techniques.style_adapter import StyleSettings

WIDTH, TEXT, POOLED, PICTURE = 32, 64, 32, 40
SIZE = (12, 16)
STEPS = 2
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
DEPTHS = [1, 2, 10]
# The configuration that ComfyUI would detect in such a file.
COMFYUI = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": WIDTH,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 2],
    "num_head_channels": WIDTH,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "legacy": False,
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "context_dim": TEXT,
    "adm_in_channels": POOLED + 6 * 256,
    "num_classes": "sequential",
    "use_temporal_attention": False,
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is the same on every machine."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass
class SdxlPair:
    """One SDXL on both engines: ours, and ComfyUI's MODEL."""

    engine: DiffusersEngine
    model: Any

    @classmethod
    def make(cls) -> SdxlPair:
        """Make both with the same random weights."""
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            block_out_channels=[WIDTH, 2 * WIDTH, 2 * WIDTH],
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            transformer_layers_per_block=DEPTHS,
            attention_head_dim=[1, 2, 2],
            cross_attention_dim=TEXT,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=POOLED + 6 * 256,
        )
        with torch.no_grad():
            for name, value in unet.named_parameters():
                if "attn" in name and value.ndim == 2:
                    value.mul_(2)  # makes attention sharp, as in a trained network
        unet.eval().requires_grad_(False)
        vae = AutoencoderKL(block_out_channels=[32], norm_num_groups=8)
        engine = DiffusersEngine(unet, vae, None, None, SCHEDULER)  # ty: ignore
        return cls(engine, _for_comfyui(unet))

    def prompts(self) -> tuple[list[SdxlText], list]:
        """Two prompts for either engine."""
        texts, pooled = noise(2, 77, TEXT, seed=1), noise(2, POOLED, seed=2)
        ours = [SdxlText(texts[i : i + 1], pooled[i : i + 1]) for i in range(2)]
        theirs = [[[text, {"pooled_output": vector}]] for text, vector in ours]
        return ours, theirs


def _for_comfyui(unet: UNet2DConditionModel):
    import comfy.model_base
    import comfy.supported_models
    import comfy.utils
    from comfy.model_patcher import ModelPatcher

    description = comfy.supported_models.SDXL(dict(COMFYUI))
    description.unet_config.update(COMFYUI)
    description.set_inference_dtype(torch.float32, None)
    network = comfy.model_base.SDXL(description)
    names = comfy.utils.unet_to_diffusers(COMFYUI)
    weights = unet.state_dict()
    with torch.inference_mode():
        network.diffusion_model.load_state_dict({names[name]: weights[name] for name in weights})
    return ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))


def adapter_difference(pair: SdxlPair, variant: str = "base") -> float:
    """IP-Adapter on all 70 layers: the largest difference of either engine from diffusers' own
    IP-Adapter after a few steps with guidance. `variant` is "base" or "plus".
    """
    import comfy.samplers

    from ..engines.comfyui.adapter import apply_style_adapter, as_adapter, cross_attention

    layers = [tuple(layer.to_k.weight.shape) for *_, layer in cross_attention(pair.model)]
    shapes = ip_adapter_shapes(variant, layers, PICTURE, 128)
    weights = {
        name: noise(*shape, seed=index) / shape[-1] ** 0.5 + float("norm" in name)
        for index, (name, shape) in enumerate(shapes.items())
    }
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in weights.items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    # One vector, or one for each patch of the picture.
    shape = (1, 17, PICTURE) if variant == "plus" else (1, PICTURE)
    shown, blank = noise(*shape, seed=3), torch.zeros(shape)
    settings = StyleSettings(weight=0.6)
    ours, theirs = pair.prompts()
    sigmas = pair.engine.sigmas("normal", STEPS)
    start = noise(1, 4, *SIZE)
    with torch.inference_mode():
        patched = apply_style_adapter(pair.model, as_adapter(parts), [shown], blank, settings)
        guider = comfy.samplers.CFGGuider(patched)
        guider.set_conds(*theirs)
        guider.set_cfg(2.0)
        there = guider.sample(
            start, torch.zeros_like(start), comfy.samplers.sampler_object("euler"), sigmas
        )
        there = pair.model.model.process_latent_in(there)
        style = make_style(pair.engine, build_ip_adapter(weights, "file"), [shown], blank, settings)
        own = _with_diffusers_adapter(pair.engine, parts, torch.stack((shown, blank)), 0.6)
        x = add_noise(torch.zeros_like(start), start, sigmas[0], pair.engine.sigma_max)
        here, expected = (
            sample_euler(denoise, x, sigmas)
            for denoise in (
                styled_denoiser(pair.engine, [style], *ours, 2.0, None),
                own.denoiser(*ours, 2.0, None),
            )
        )
    return max(_largest(here, expected), _largest(there, expected))


def _with_diffusers_adapter(
    engine: DiffusersEngine, parts: dict[str, dict[str, Tensor]], pictures: Tensor, weight: float
) -> DiffusersEngine:
    """The engine with a copy of its UNet that went through diffusers' own loader of adapters."""
    unet = deepcopy(engine.unet)
    unet._load_ip_adapter_weights([parts], low_cpu_mem_usage=False)
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [weight]

    def show(_, args: tuple, named: dict) -> tuple[tuple, dict]:
        added = {**named["added_cond_kwargs"], "image_embeds": [pictures]}
        return args, {**named, "added_cond_kwargs": added}

    unet.register_forward_pre_hook(show, with_kwargs=True)
    return DiffusersEngine(unet, engine.vae, None, None, SCHEDULER)  # ty: ignore


def injection_difference(pair: SdxlPair) -> float:
    """DiffStyler: a LoRA in a region, with injected features and attention of the content."""
    import comfy.sd

    from ..engines.comfyui.branches import ComfyUIRun

    lora = _random_lora(pair.engine.unet)
    shape = (1, 4, *SIZE)
    content = Trajectory((661, 1), noise(3, *shape, seed=4))
    x = torch.linspace(0, 1, SIZE[1]).expand(1, 1, *SIZE)
    weights = region_weights(x.unsqueeze(0))
    settings = DiffStylerSettings(guidance=2.0)
    ours, theirs = pair.prompts()
    painted = []
    with torch.inference_mode(), ExitStack() as stack:
        named = lora.tensors()
        patched = comfy.sd.load_lora_for_models(pair.model, None, named, 1.0, 0.0)[0]
        there = stack.enter_context(ComfyUIRun(pair.model, shape))
        for run, prompts, styled in (
            (DiffusersRun(pair.engine, shape), ours, lora),
            (there, theirs, patched),
        ):
            style = Style(run.branch(prompts, styled), feature_steps=1.0, attention_steps=1.0)
            painted.append(
                stylize(
                    content, weights, [style], Base(run.branch(prompts[:1])), run.alphas,
                    run.attention_layers, settings,
                )
            )  # fmt: skip
    return _largest(*painted)


def transfer_difference(pair: SdxlPair) -> float:
    """Query-preserving transfer with the identity guard."""
    from ..engines.comfyui.branches import ComfyUIRun

    shape = (1, 4, *SIZE)
    content, style = (Trajectory((661, 1), noise(3, *shape, seed=seed)) for seed in (5, 6))
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., 2:9, 3:10] = 1
    guard = IdentityGuard(noise(*shape, seed=7), mask)
    ours, theirs = pair.prompts()
    with torch.inference_mode(), ExitStack() as stack:
        there = stack.enter_context(ComfyUIRun(pair.model, shape))
        painted = [
            transfer_style(
                content, style, run.branch(prompts[:1]), run.branch(prompts[:1]), run.alphas,
                run.attention_layers, guard=guard,
            )
            for run, prompts in ((DiffusersRun(pair.engine, shape), ours), (there, theirs))
        ]  # fmt: skip
    return _largest(*painted)


def distillation_difference(pair: SdxlPair) -> float:
    """Attention distillation: gradients through both UNets. Call it outside inference mode."""
    from ..engines.comfyui.branches import ComfyUIRun
    from ..engines.comfyui.gradients import ordinary, private_copy

    shape = (1, 4, *SIZE)
    settings = AttentionDistillation(steps=2)
    ours, theirs = pair.prompts()
    with ExitStack() as stack:
        there = stack.enter_context(ComfyUIRun(private_copy(pair.model), shape))
        prompts = [ordinary(prompt) for prompt in theirs]
        painted = [
            distil_style(
                noise(*shape, seed=8), noise(*shape, seed=9), run.branch(texts[:1]),
                run.branch(texts[:1]), run.alphas, run.attention_layers, settings,
            )
            for run, texts in ((DiffusersRun(pair.engine, shape), ours), (there, prompts))
        ]  # fmt: skip
    return _largest(*painted)


def sdxl_parity() -> dict[str, float]:
    """The largest of these differences."""
    pair = SdxlPair.make()
    measured = (injection_difference, transfer_difference, distillation_difference)
    differences = [measure(pair) for measure in measured]
    differences += [adapter_difference(pair, variant) for variant in ("base", "plus")]
    return {"sdxl_parity_max_abs": max(differences)}


def _largest(here: Tensor, there: Tensor) -> float:
    if not bool(here.isfinite().all()):
        raise ValueError("The result has values that are not finite.")
    return float((here - there).abs().max())


def _random_lora(unet: UNet2DConditionModel) -> StyleLora:
    layers = {}
    for index, (name, module) in enumerate(unet.named_modules()):
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            out, width = module.weight.shape
            down, up = 0.1 * noise(2, width, seed=index), 0.1 * noise(out, 2, seed=index + 1)
            layers[name.replace(".", "_")] = Factors(down, up, 2.0)
    return StyleLora(layers)
