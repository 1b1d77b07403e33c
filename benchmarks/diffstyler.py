"""DiffStyler: do both engines agree, what does a step cost, and does injection keep the content?

Parity, rows and the background are measured with the built-in models. Time is measured on the
built-in UNet, in seconds of the processor, so that other work on the machine does not count; at
Stable Diffusion 1.5's true size with random weights where there is a GPU. What it does to pictures
is measured by evaluation/diffstyler.py.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import Tensor

from ..engines.comfyui_location import find_comfyui
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers_branches import DiffusersRun
from ..evaluation.diffstyler import content_and_style, drawn, sample
from ..models.style_lora import Factors, StyleLora
from ..techniques.ddim import sampling_grid
from ..techniques.ddim_inversion import Trajectory, invert
from ..techniques.diffstyler import Base, DiffStylerSettings, Style, region_weights, stylize
from . import say

NEGATIVE = ""
GUIDANCE = 5.0
PARITY_STEPS = 10


def run(quick: bool) -> dict[str, float]:
    """All figures by name; the parity is left out where there is no ComfyUI."""
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
    """Factors that change every projection of every attention by some percent."""
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
    """Weights [K, 1, 1, h, w] of as many upright stripes, with the last column left alone."""
    masks = torch.zeros(styles, 1, 1, height, width)
    edges = [round(index * (width - 1) / styles) for index in range(styles + 1)]
    for mask, left, right in zip(masks, edges, edges[1:], strict=False):
        mask[..., left:right] = 1
    return region_weights(masks)


class _Painter:
    """DiffStyler on one engine for latents of one shape: branches are made once."""

    def __init__(self, engine: DiffusersEngine, shape: tuple[int, ...], loras: list[StyleLora]):
        self.run = DiffusersRun(engine, shape)
        texts = engine.encode_text([NEGATIVE, "painting of <sss>", ""])
        self.empty = self.run.branch(texts[2:])
        self.guided = self.run.branch(texts[:2])
        self.styles = [self.run.branch(texts[:2], lora) for lora in loras]

    def paint(
        self, trajectory: Trajectory, weights: Tensor, share: float | None = None, **settings
    ):
        shares = {} if share is None else {"feature_steps": share, "attention_steps": share}
        styles = [Style(branch, **shares) for branch in self.styles]
        return stylize(
            trajectory, weights, styles, Base(self.empty), self.run.alphas,
            self.run.attention_layers, DiffStylerSettings(GUIDANCE, **settings),
        )  # fmt: skip


# Both engines, the built-in models.


def _parity(comfyui, engine: DiffusersEngine) -> float:
    """Largest difference of ten steps with one style, in the UNet's own scale."""
    sys.path.insert(0, str(comfyui))
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import comfy.sd

    from ..engines.comfyui import load_starter
    from ..engines.comfyui_branches import ComfyUIRun

    say(f"both engines: {PARITY_STEPS} steps with one style")
    lora = _random_lora(engine, 1)
    latent = engine.encode(drawn(0).image) * engine.latent_scale
    weights = _halves(1, *latent.shape[-2:])
    ours = _Painter(engine, latent.shape, [lora])
    trajectory = invert(latent, ours.empty, ours.run.alphas, PARITY_STEPS, 50)
    model, clip, _ = load_starter()
    styled = comfy.sd.load_lora_for_models(model, None, lora.tensors(), 1.0, 0.0)[0]
    prompts = [[[clip.encode(text), {}]] for text in (NEGATIVE, "painting of <sss>", "")]
    with ComfyUIRun(model, latent.shape) as run:
        base = Base(run.branch(prompts[2:]))
        theirs = stylize(
            trajectory, weights, [Style(run.branch(prompts[:2], styled))], base, run.alphas,
            run.attention_layers, DiffStylerSettings(GUIDANCE),
        )  # fmt: skip
    return float((ours.paint(trajectory, weights) - theirs).abs().max())


# Cost.


def _cost(engine: DiffusersEngine, quick: bool) -> dict[str, float]:
    """Rows of an injected step, and a run's time against plain sampling under guidance."""
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
    both, figures = painter.styles, {}
    seconds: dict[str, list[float]] = {"plain": [], "one_style": [], "two_styles": []}

    def work(name: str) -> None:
        painter.styles = both[: 1 if name == "one_style" else 2]
        if name == "plain":
            sample(
                painter.guided, painter.run.alphas, trajectory.latents[0].to(device),
                trajectory.timesteps,
            )  # fmt: skip
        else:
            weights = _halves(len(painter.styles), side, side).to(device)
            painter.paint(trajectory, weights)

    for _ in range(1 if quick else 3):
        for name, taken in seconds.items():
            taken.append(_seconds(lambda name=name: work(name), device))
    for name in ("one_style", "two_styles"):
        painter.styles = both[: 1 if name == "one_style" else 2]
        with _counted_rows(engine.unet) as rows:
            weights = _halves(len(painter.styles), side, side).to(device)
            painter.paint(trajectory, weights, share=1.0)
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
    latent = engine.encode(drawn(0).image) * engine.latent_scale
    painter = _Painter(engine, latent.shape, [_random_lora(engine, 1)])
    trajectory = invert(latent, painter.empty, painter.run.alphas, PARITY_STEPS, 50)
    weights = _halves(1, *latent.shape[-2:])
    painted = painter.paint(trajectory, weights)
    return float(((painted - latent) * (weights[0] == 0)).abs().max())
