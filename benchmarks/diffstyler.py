"""DiffStyler: whether both engines agree, the cost of a step, and whether the background stays.

Parity, rows and background are measured with the built-in models. Time is processor time with the
built-in UNet, which other programs do not affect; on a GPU it is measured at Stable Diffusion 1.5's
size with random weights. The effect on pictures is measured by evaluation/diffstyler.py.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from ..diffusion.ddim import sampling_grid
from ..engines.comfyui.location import find_comfyui
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.branches import DiffusersRun
from ..evaluation.diffstyler import content_and_style, drawn, sample
from ..models.style_lora import Factors, StyleLora
from ..techniques.ddim_inversion import Trajectory
from ..techniques.diffstyler import DiffStylerSettings, region_weights
from ..techniques.restyling import Inverted, RegionStyle, invert_picture, paint_styles
from . import say

NEGATIVE = ""
GUIDANCE = 5.0
PARITY_STEPS = 10


def run(quick: bool) -> dict[str, float]:
    """Measure all figures, by name; without ComfyUI the parity is left out."""
    engine = DiffusersEngine.load()
    figures = {}
    with torch.inference_mode():
        comfyui = find_comfyui()
        if comfyui is None:
            say("no ComfyUI: parity_max_abs is left out")
        else:
            figures["parity_max_abs"] = _parity(comfyui, engine)
        figures |= _cost(engine, quick)
        figures["outside_max_abs_diff"] = _outside(engine)
    return figures | content_and_style(engine, quick, say)


def _random_lora(engine: DiffusersEngine, seed: int) -> StyleLora:
    """Random factors that change every projection of every attention by a few percent."""
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for name, module in engine.unet.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            out, width = module.weight.shape
            down = torch.randn(4, width, generator=generator) / width**0.5
            up = torch.randn(out, 4, generator=generator) / 20
            layers[name.replace(".", "_")] = Factors(down, up, 4.0)
    return StyleLora(layers)


def _halves(styles: int, height: int, width: int) -> Tensor:
    """Weights [K, 1, 1, h, w] of K vertical stripes; the last column belongs to none."""
    masks = torch.zeros(styles, 1, 1, height, width)
    edges = [round(index * (width - 1) / styles) for index in range(styles + 1)]
    for mask, left, right in zip(masks, edges, edges[1:], strict=False):
        mask[..., left:right] = 1
    return region_weights(masks)


class _Painter:
    """DiffStyler on one engine for latents of one shape."""

    def __init__(self, engine: DiffusersEngine, shape: tuple[int, ...], loras: list[StyleLora]):
        self.run = DiffusersRun(engine, shape)
        self.negative, self.positive, self.empty = engine.encode_text(
            [NEGATIVE, "painting of <sss>", ""]
        )
        self.loras = loras

    def invert(self, latent: Tensor) -> Inverted:
        return invert_picture(self.run, latent, self.empty, PARITY_STEPS, 50)

    def paint(self, inverted: Inverted, weights: Tensor, fraction: float | None = None) -> Tensor:
        """The painted latent, scaled for the VAE; `fraction` of the run has injection."""
        fractions = (
            {} if fraction is None else {"feature_steps": fraction, "attention_steps": fraction}
        )
        styles = [
            RegionStyle(self.positive, self.negative, lora, **fractions)
            for lora in self.loras[: len(weights)]
        ]
        return paint_styles(self.run, inverted, styles, weights, DiffStylerSettings(GUIDANCE))


# Both engines, the built-in models.


def _parity(comfyui, engine: DiffusersEngine) -> float:
    """Largest difference of ten steps with one style, in the UNet's own scale."""
    sys.path.insert(0, str(comfyui))
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import comfy.sd

    from ..engines.comfyui.branches import ComfyUIRun
    from ..engines.comfyui.starter import load_starter

    say(f"both engines: {PARITY_STEPS} steps with one style")
    lora = _random_lora(engine, 1)
    latent = engine.encode(drawn(0).image)
    weights = _halves(1, *latent.shape[-2:])
    ours = _Painter(engine, latent.shape, [lora])
    inverted = ours.invert(latent)
    model, clip, _ = load_starter()
    styled = comfy.sd.load_lora_for_models(model, None, lora.tensors(), 1.0, 0.0)[0]
    negative, positive, empty = (
        [[clip.encode(text), {}]] for text in (NEGATIVE, "painting of <sss>", "")
    )
    style = RegionStyle(positive, negative, styled)
    with ComfyUIRun(model, latent.shape) as run:
        theirs = paint_styles(
            run, replace(inverted, empty=empty), [style], weights, DiffStylerSettings(GUIDANCE)
        )
    return float((ours.paint(inverted, weights) - theirs).abs().max()) * engine.latent_scale


# Cost.


def _cost(engine: DiffusersEngine, quick: bool) -> dict[str, float]:
    """Rows of an injected step, and a run's time over that of plain sampling with guidance."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and not quick:
        from .face_edit import sd15_engine

        engine = sd15_engine(device)
    steps, side = (5 if quick else 50), engine.unet.config.sample_size
    say(f"time of {steps} steps at {8 * side} px on {device}")
    shape = (1, 4, side, side)
    latents = torch.randn(steps + 1, *shape, generator=torch.Generator().manual_seed(1))
    trajectory = Trajectory(tuple(sampling_grid(steps)), latents)
    painter = _Painter(engine, shape, [_random_lora(engine, seed) for seed in (1, 2)])
    inverted = Inverted(trajectory, painter.run.out_of_model(trajectory.clean), painter.empty)
    styles, figures = {"one_style": 1, "two_styles": 2}, {}
    seconds: dict[str, list[float]] = {"plain": [], "one_style": [], "two_styles": []}

    def work(name: str) -> None:
        if name == "plain":
            guided = painter.run.branch([painter.negative, painter.positive])
            noise = trajectory.latents[0].to(device)
            sample(guided, painter.run.alphas, noise, trajectory.timesteps)
        else:
            painter.paint(inverted, _halves(styles[name], side, side))

    for _ in range(1 if quick else 3):
        for name, taken in seconds.items():
            taken.append(_seconds(lambda name=name: work(name), device))
    for name, count in styles.items():
        with _counted_rows(engine.unet) as rows:
            painter.paint(inverted, _halves(count, side, side), fraction=1.0)
        figures[f"rows_per_step_{name}"] = sum(rows) / steps
        ratio = statistics.median(seconds[name]) / statistics.median(seconds["plain"])
        figures[f"ratio_{name}"] = ratio
    return figures


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


@contextmanager
def _counted_rows(unet: torch.nn.Module):
    """The batch size of each call of the UNet."""
    rows: list[int] = []
    hook = unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    yield rows
    hook.remove()


def _outside(engine: DiffusersEngine) -> float:
    """Largest difference of the latent outside the region, after inversion and painting."""
    latent = engine.encode(drawn(0).image)
    painter = _Painter(engine, latent.shape, [_random_lora(engine, 1)])
    weights = _halves(1, *latent.shape[-2:])
    painted = painter.paint(painter.invert(latent), weights)
    return float(((painted - latent) * (weights[0] == 0)).abs().max())
