"""DiffStyler: do both engines agree, what does a step cost, and does injection keep the content?

Parity, rows and the background are measured with the built-in models. Time is measured on the
built-in UNet, in seconds of the processor, so that other work on the machine does not count; at
Stable Diffusion 1.5's true size with random weights where there is a GPU. Content and style are
measured in the starter world: drawn people who were not trained on, and a LoRA for each style.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..engines.comfyui_location import find_comfyui
from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers_branches import DiffusersRun
from ..engines.diffusers_lora import trainable_lora
from ..engines.taps import Branch
from ..evaluation.style_transfer import (
    boundary_artefact,
    gain_at_equal_style,
    gram_distance,
    layout_distance,
)
from ..models.face_classes import CLASSES, PRESETS
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import starter_file
from ..models.style_lora import Factors, StyleLora
from ..techniques.ddim import ddim_step, level_alpha, sampling_grid
from ..techniques.ddim_inversion import Trajectory, invert
from ..techniques.diffstyler import (
    Base,
    DiffStylerSettings,
    Style,
    latent_mask,
    region_weights,
    stylize,
)
from ..techniques.pixel_blend import blend, prove
from ..techniques.soft_mask import soften
from ..training.style_lora import StyleLoraSettings, style_latents, train_style_lora
from ..training.world import STYLES, portrait

NEGATIVE = ""
GUIDANCE = 5.0
SIZE = 128
FACE = torch.tensor([CLASSES.index(part) for part in PRESETS["face"]])
PARITY_STEPS = 10
REGIONS = 5
# Where plain image-to-image with the LoRA starts, as shares of the run that are left out.
SKIPPED = (0.2, 0.4, 0.6, 0.8)


def run(quick: bool) -> dict[str, float]:
    """All figures by name; the parity is left out where there is no ComfyUI."""
    engine = DiffusersEngine.load()
    figures = {}
    with torch.inference_mode():
        comfyui = find_comfyui()
        if comfyui is None:
            _say("no ComfyUI: parity_max_abs is left out")
        else:
            figures["parity_max_abs"] = _parity(comfyui, engine)
        figures |= _cost(engine, quick)
        figures["outside_max_abs_diff"] = _outside(engine)
    return figures | _content_and_style(engine, quick)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Drawn(NamedTuple):
    """A person: image [1, S, S, 3], labels [1, S, S], caption."""

    image: Tensor
    labels: Tensor
    caption: str

    @property
    def face(self) -> Tensor:
        """The mask [1, S, S] of the face."""
        return torch.isin(self.labels, FACE).float()


def _picture(index: int, style: str = "photo") -> _Drawn:
    """A person who was not trained on."""
    drawn = portrait(index, SIZE, "test", style)
    image = torch.from_numpy(drawn.image).unsqueeze(0).float() / 255
    return _Drawn(image, torch.from_numpy(drawn.labels).unsqueeze(0), drawn.captions[0])


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

    _say(f"both engines: {PARITY_STEPS} steps with one style")
    lora = _random_lora(engine, 1)
    latent = engine.encode(_picture(0).image) * engine.latent_scale
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
    _say(f"time of {steps} steps at {8 * side} px on {device}")
    shape = (1, 4, side, side)
    latents = torch.randn(steps + 1, *shape, generator=torch.Generator().manual_seed(1))
    trajectory = Trajectory(tuple(sampling_grid(steps)), latents)
    painter = _Painter(engine, shape, [_random_lora(engine, seed) for seed in (1, 2)])
    both, figures = painter.styles, {}
    seconds: dict[str, list[float]] = {"plain": [], "one_style": [], "two_styles": []}

    def work(name: str) -> None:
        painter.styles = both[: 1 if name == "one_style" else 2]
        if name == "plain":
            _sample(painter, trajectory.latents[0].to(device), trajectory.timesteps)
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


def _sample(painter: _Painter, latent: Tensor, timesteps: tuple[int, ...], branch=None) -> Tensor:
    """Plain DDIM sampling under guidance."""
    branch, alphas = branch or painter.guided, painter.run.alphas
    for timestep, below in zip(timesteps, [*timesteps[1:], 0], strict=True):
        negative, positive = branch(latent, timestep)
        noise = negative + GUIDANCE * (positive - negative)
        latent = ddim_step(latent, noise, level_alpha(alphas, timestep), level_alpha(alphas, below))
    return latent


@contextmanager
def _counted_rows(unet: torch.nn.Module):
    """The batch size of each call of the UNet."""
    rows: list[int] = []
    hook = unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    yield rows
    hook.remove()


def _outside(engine: DiffusersEngine) -> float:
    """Largest difference of the latent outside the region, after inversion and painting."""
    latent = engine.encode(_picture(0).image) * engine.latent_scale
    painter = _Painter(engine, latent.shape, [_random_lora(engine, 1)])
    trajectory = invert(latent, painter.empty, painter.run.alphas, PARITY_STEPS, 50)
    weights = _halves(1, *latent.shape[-2:])
    painted = painter.paint(trajectory, weights)
    return float(((painted - latent) * (weights[0] == 0)).abs().max())


# Content and style, in the starter world.


def _content_and_style(engine: DiffusersEngine, quick: bool) -> dict[str, float]:
    """Mean content and style distances of each method, and the gain of injecting both."""
    styles, contents, steps = (1, 1, 5) if quick else (5, 20, 20)
    parser = load_face_parser(starter_file("face_parser"))
    people = [_inverted(engine, index, steps) for index in range(contents)]
    found: dict[str, list[tuple[float, float]]] = {}
    regions: list[_Region] = []
    for number, style in enumerate(STYLES[1 : 1 + styles]):
        shown = _picture(1000 + number, style)
        _say(f"style {number + 1} of {styles}: {style}")
        prompt = f"painting of <sss>, {shown.caption}"
        lora = _trained(engine, shown.image, prompt, 5 if quick else 200)
        own = [_region(content, lora, shown, parser) for content in people[:REGIONS]]
        _say(_summary(own))
        regions += own
        for index, content in enumerate(people):
            for name, image in _restyled(content, lora, index):
                point = (
                    gram_distance(image, shown.image, parser),
                    layout_distance(image, content.person.labels, parser),
                )
                found.setdefault(name, []).append(point)
    _say(_summary(regions))
    means = {
        name: tuple(statistics.fmean(values) for values in zip(*points, strict=True))
        for name, points in found.items()
    }
    for name, (style, content) in means.items():
        _say(f"  {name:<24} style distance {style:.4f}, content distance {content:.4f}")
    plain = [point for name, point in means.items() if name.startswith("image to image")]
    return {"content_gain_at_equal_style": gain_at_equal_style(plain, means["both injected"])}


def _summary(regions: list[_Region]) -> str:
    before, after, _, edge_before, edge_after = map(statistics.fmean, zip(*regions, strict=True))
    closer = sum(region.style_after < region.style_before for region in regions)
    return (
        f"faces alone, {len(regions)}: style distance {before:.4f} -> {after:.4f} (less in "
        f"{closer}), outside {max(region.outside for region in regions)}, "
        f"edge {edge_before:.4f} -> {edge_after:.4f}"
    )


class _Region(NamedTuple):
    """What changes inside, outside and on the edge of a region."""

    style_before: float
    style_after: float
    outside: float
    edge_before: float
    edge_after: float


class _Inverted(NamedTuple):
    """A person and the run that leads back to the picture, which no style changes."""

    person: _Drawn
    latent: Tensor
    run: DiffusersRun
    base: Base
    trajectory: Trajectory


@torch.inference_mode()
def _inverted(engine: DiffusersEngine, index: int, steps: int) -> _Inverted:
    person = _picture(index)
    latent = engine.encode(person.image) * engine.latent_scale
    run = DiffusersRun(engine, latent.shape)
    empty = run.branch(engine.encode_text([""]))
    trajectory = invert(latent, empty, run.alphas, steps, 2 * steps)
    return _Inverted(person, latent, run, Base(empty), trajectory)


def _styled(content: _Inverted, lora: StyleLora) -> Branch:
    engine, caption = content.run.engine, content.person.caption
    texts = engine.encode_text([NEGATIVE, f"painting of <sss>, {caption}"])
    return content.run.branch(texts, lora)


def _painted(content: _Inverted, weights: Tensor, style: Style) -> Tensor:
    """The person in a style, [1, S, S, 3]."""
    run = content.run
    painted = stylize(
        content.trajectory, weights, [style], content.base, run.alphas, run.attention_layers,
        DiffStylerSettings(GUIDANCE),
    )  # fmt: skip
    return run.engine.decode(painted / run.engine.latent_scale)


@torch.inference_mode()
def _region(content: _Inverted, lora: StyleLora, style: _Drawn, parser: FaceParser) -> _Region:
    """A person's face in a style, compared with the face there."""
    person = content.person
    picture, mask = person.image, soften(person.face, 1.0)
    weights = region_weights(latent_mask(mask).unsqueeze(0))
    result = blend(_painted(content, weights, Style(_styled(content, lora))), picture, mask)
    before, after = (
        gram_distance(image, style.image, parser, person.face, style.face)
        for image in (picture, result)
    )
    edge_before, edge_after = (boundary_artefact(image[0], mask[0]) for image in (picture, result))
    outside = prove(result, picture, mask).outside_max_abs_diff
    return _Region(before, after, outside, edge_before, edge_after)


def _trained(engine: DiffusersEngine, picture: Tensor, prompt: str, steps: int) -> StyleLora:
    settings = replace(StyleLoraSettings(prompt), steps=steps, size=SIZE)
    latents = style_latents(picture, engine.encode, engine.latent_scale, SIZE)
    trainable = trainable_lora(engine, prompt, latents.shape, settings.rank, settings.seed)
    return train_style_lora(latents, trainable, settings)[0]


@torch.inference_mode()
def _restyled(content: _Inverted, lora: StyleLora, seed: int) -> Iterator[tuple[str, Tensor]]:
    """A person under every method: name, picture [1, S, S, 3]."""
    yield "unchanged", content.person.image
    engine, latent = content.run.engine, content.latent
    styled = _styled(content, lora)
    everywhere = torch.ones(1, 1, 1, *latent.shape[-2:])
    methods = {
        "injection off": (0.0, 0.0),
        "feature injected": (0.6, 0.0),
        "attention injected": (0.0, 0.5),
        "both injected": (0.6, 0.5),
        "both, 20 % of steps": (0.2, 0.2),
        "both, 40 % of steps": (0.4, 0.4),
        "both, 80 % of steps": (0.8, 0.8),
    }
    for name, shares in methods.items():
        yield name, _painted(content, everywhere, Style(styled, None, *shares))
    painter = _Painter(engine, latent.shape, [])
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    timesteps = content.trajectory.timesteps
    for skipped in SKIPPED:
        left = timesteps[int(skipped * len(timesteps)) :]
        alpha = level_alpha(content.run.alphas, left[0])
        noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
        painted = _sample(painter, noisy, left, styled)
        yield f"image to image from {skipped:.0%}", engine.decode(painted / engine.latent_scale)
