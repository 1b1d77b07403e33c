"""The style adapter: whether it agrees with diffusers' own adapter, its cost and its effect.

Parity is measured on the built-in UNet with random adapters, with and without a mask. Cost is
measured in ComfyUI at Stable Diffusion 1.5's size with random weights: calls of the UNet for both
prompts, with and without an adapter, in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..diffusion.sampling import add_noise, sample_euler
from ..engines.comfyui.location import find_comfyui, import_comfyui
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.adapter import cross_attention
from ..engines.image_encoder import ImageEncoder
from ..evaluation.style_adapter import Parts, style_curve
from ..models.face_embedder import load_face_embedder
from ..models.face_parser import load_face_parser
from ..models.ip_adapter import IPAdapter, read_ip_adapter
from ..models.starter_files import STARTER, starter_file
from ..techniques.style_adapter import StyleSettings
from . import say

SEED = 42
STEPS = 10
GUIDANCE = 3.0
WEIGHT = 0.7
WEIGHTS = (0.2, 0.4, WEIGHT, 1.0)
COLUMNS = ("style", "identity", "leak")
TRAINED = ("ip_adapter", "image_encoder", "face_embedder")
EMBED_WIDTH = 1024
TOKENS = 4
SD15_UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SD15_LAYERS = [
    (width, 768) for width in [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]
]


def run(quick: bool) -> dict[str, float]:
    """Measure all figures, by name; those left out are named with the reason."""
    figures, comfyui = {}, find_comfyui()
    with torch.inference_mode():
        if comfyui is None:
            say("no ComfyUI: parity_max_abs, overhead_ratio, overhead_ratio_region are left out")
        else:
            import_comfyui(comfyui)
            figures["parity_max_abs"] = max(_parity(masked) for masked in (False, True))
            figures |= _overhead(pixels=256 if quick else 512, turns=4 if quick else 10)
    missing = [part for part in TRAINED if not (STARTER / part).is_dir()]
    if missing:
        say(f"the starter has no {', '.join(missing)}: leak_ratio, style_gain are left out")
        return figures
    return figures | _style(quick)


def _random(*shape: int, seed: int = SEED) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _random_parts(layers: list[tuple[int, int]]) -> dict[str, dict[str, Tensor]]:
    """A base adapter's file for layers (width, text width), with random weights."""
    text = layers[0][1]
    shapes = {
        "image_proj.proj.weight": (TOKENS * text, EMBED_WIDTH),
        "image_proj.norm.weight": (text,),
    }
    for index, layer in enumerate(layers):
        for name in ("to_k_ip", "to_v_ip"):
            shapes[f"ip_adapter.{2 * index + 1}.{name}.weight"] = layer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        weights = IPAdapter(shapes).state_dict()
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in weights.items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    return parts


def _left_half(size: int) -> Tensor:
    mask = torch.zeros(1, size, size)
    mask[:, :, : size // 2] = 1
    return mask


# Parity with diffusers' own adapter.


def _parity(masked: bool) -> float:
    """The largest difference of latents after a run of the built-in UNet."""
    from ..engines.comfyui.adapter import apply_style_adapter, as_adapter
    from ..engines.comfyui.starter import load_starter

    engine = DiffusersEngine.load()
    layers = [engine.unet.get_submodule(name).to_k for name, _ in cross_attention(engine.unet)]
    parts = _random_parts([(layer.out_features, layer.in_features) for layer in layers])
    picture, blank = _random(1, EMBED_WIDTH, seed=1), torch.zeros(1, EMBED_WIDTH)
    text = engine.encode_text(["a face of a woman, smiling", ""])
    noise, concat = _random(1, 4, 16, 16), _random(1, 5, 16, 16, seed=2)
    region = _left_half(128) if masked else None

    say(f"ComfyUI: {STEPS} steps, {'half a picture' if masked else 'a picture'} in a style")
    settings = StyleSettings(weight=WEIGHT, region=region)
    model = apply_style_adapter(load_starter()[0], as_adapter(parts), [picture], blank, settings)
    theirs = _sample_comfyui(model, text, concat, noise, engine.sigmas("normal", STEPS))

    say(f"diffusers' own adapter: {STEPS} steps")
    _load_diffusers_own(engine, parts, torch.stack((picture, blank)), region)
    denoiser = engine.denoiser(text[:1], text[1:], GUIDANCE, concat)
    sigmas = engine.sigmas("normal", STEPS)
    start = add_noise(torch.zeros_like(noise), noise, sigmas[0], engine.sigma_max)
    return float((sample_euler(denoiser, start, sigmas) - theirs).abs().max())


def _sample_comfyui(model, text: Tensor, concat: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """The latent after ComfyUI's euler sampler, in the UNet's scale."""
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*([[part, {"noise_concat": concat}]] for part in text[:, None]))
    guider.set_cfg(GUIDANCE)
    sampler = comfy.samplers.sampler_object("euler")
    latent = guider.sample(noise, torch.zeros_like(noise), sampler, sigmas)
    return model.model.process_latent_in(latent)


def _load_diffusers_own(
    engine: DiffusersEngine, parts: dict, embeds: Tensor, region: Tensor | None
) -> None:
    """Load an IP-Adapter into the engine's UNet by diffusers' own load_ip_adapter."""
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline
    from diffusers.image_processor import IPAdapterMaskProcessor

    pipeline = StableDiffusionInpaintPipeline(
        engine.vae,
        engine.text_encoder,
        engine.tokenizer,
        engine.unet,
        DDIMScheduler(steps_offset=1),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.load_ip_adapter(
        parts, subfolder="", weight_name="", image_encoder_folder=None, low_cpu_mem_usage=False
    )
    pipeline.set_ip_adapter_scale(WEIGHT)
    more: dict[str, Any] = {"added_cond_kwargs": {"image_embeds": [embeds]}}
    if region is not None:
        size = region.shape[-1]
        mask = IPAdapterMaskProcessor().preprocess(region, height=size, width=size)
        more["cross_attention_kwargs"] = {"ip_adapter_masks": [mask]}
    engine.unet.register_forward_pre_hook(
        lambda _, args, kwargs: (args, kwargs | more), with_kwargs=True
    )


# The cost at SD 1.5's true size.


def _overhead(pixels: int, turns: int) -> dict[str, float]:
    """Time of a UNet call with an adapter over that without, and the same with a region."""
    from ..engines.comfyui.adapter import apply_style_adapter, as_adapter

    model = _sd15_unet()
    adapter, blank = as_adapter(_random_parts(SD15_LAYERS)), torch.zeros(1, EMBED_WIDTH)
    picture = _random(1, EMBED_WIDTH, seed=1)
    styled = {
        name: apply_style_adapter(
            model, adapter, [picture], blank, StyleSettings(weight=WEIGHT, region=region)
        )
        for name, region in (("overhead_ratio", None), ("overhead_ratio_region", _left_half(512)))
    }
    calls = {
        name: _unet_call(patcher, pixels // 8)
        for name, patcher in {"plain": model, **styled}.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    # On a CPU processor time is measured, which other programs hardly affect.
    clock = time.process_time if model.load_device.type == "cpu" else time.perf_counter
    for turn in range(turns):
        say(f"UNet calls at {pixels} px, turn {turn + 1} of {turns}: plain, adapter, region")
        # The order rotates, so that after three turns each has had every place.
        for name in [*calls, *calls][turn % 3 : turn % 3 + 3]:
            started = clock()
            calls[name]()
            # The first turn is a warm-up.
            if turn:
                seconds[name].append(clock() - started)
    plain = min(seconds.pop("plain"))
    return {name: min(times) / plain for name, times in seconds.items()}


def _sd15_unet():
    """A MODEL with SD 1.5's UNet and random weights."""
    import comfy.model_base
    import comfy.model_management
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher

    from ..engines.comfyui.starter import unet_config

    config = unet_config(SD15_UNET)
    description = comfy.supported_models.SD15(config)
    description.unet_config.update(config)
    device = comfy.model_management.get_torch_device()
    description.set_inference_dtype(torch.float16 if device.type == "cuda" else torch.float32, None)
    say("random weights of SD 1.5's size")
    network = comfy.model_base.BaseModel(description, comfy.model_base.ModelType.EPS, device)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for parameter in network.diffusion_model.parameters():
            # Uninitialised memory may hold denormal numbers, which are slow.
            parameter.normal_(std=0.02)
    return ModelPatcher(network, device, device)


def _unet_call(model, cells: int) -> Callable[[], float]:
    """Make a function that calls the UNet for both prompts and waits for the result."""
    device = model.load_device
    x = _random(2, 4, cells, cells).to(device)
    sigma, text = torch.tensor([2.0, 2.0], device=device), _random(2, 77, 768).to(device)

    def call() -> float:
        options = {"wrappers": model.wrappers, "cond_or_uncond": [0, 1], "sigmas": sigma}
        output = model.model.apply_model(x, sigma, c_crossattn=text, transformer_options=options)
        return float(output.sum())

    return call


# Its effect in the starter world.


def _style(quick: bool) -> dict[str, float]:
    """Style, identity and leak at each weight, with standard errors.

    Also the style gained at full weight, the best possible gain, and the ratio of the leak with the
    face masked to that without.
    """
    pairs = 6 if quick else 200
    parts = Parts(
        DiffusersEngine.load(),
        ImageEncoder.load(STARTER / "image_encoder"),
        read_ip_adapter(starter_file("ip_adapter")).float(),
        load_face_parser(starter_file("face_parser")),
        load_face_embedder(starter_file("face_embedder")),
    )
    say(f"{pairs} held-out pairs at weights {', '.join(map(str, WEIGHTS))}, and masked")
    curve = style_curve(parts, WEIGHTS, pairs)
    rows = {f"{weight:g}": point for weight, point in curve.points.items()}
    rows |= {"masked": curve.masked, "best": curve.best}
    figures = {
        "style_gain": curve.points[WEIGHTS[-1]].style,
        "style_gain_at_best": curve.best.style,
    }
    for name, point in rows.items():
        for column, error in zip(COLUMNS, point.errors, strict=True):
            figures[f"{column}_{name}"] = getattr(point, column)
            figures[f"{column}_{name}_error"] = error
    say(_table(figures, list(rows)))
    if curve.leak_ratio is None:
        say("the leak without a mask is not significant: leak_ratio is left out")
        return figures
    return figures | {"leak_ratio": curve.leak_ratio}


def _table(figures: dict[str, float], rows: list[str]) -> str:
    """Figures as Markdown, a row for each weight."""
    lines = [f"| weight | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = (
            f"{figures[f'{column}_{row}']:.3f} ± {figures[f'{column}_{row}_error']:.3f}"
            for column in COLUMNS
        )
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)
