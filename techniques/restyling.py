"""From a picture's latent to the restyled one, whichever engine runs the UNet.

DiffStyler (Li, "DiffStyler: Diffusion-based Localized Image Style Transfer"): invert the picture,
then paint styles into it. Style Transfer: invert picture and style, then paint the one by the
other. The equations are in `ddim_inversion`, `diffstyler` and `query_preserving`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diffusion.run import Run
from ..diffusion.taps import Attention
from .ddim_inversion import Trajectory, inversion_grid, invert, reconstruct
from .diffstyler import Base, DiffStylerSettings, Style, stylize
from .identity_guard import IdentityGuard
from .injection import hooked_attentions
from .query_preserving import QueryPreserving, transfer_style

# Called after each step with its number and the clean latent [B, 4, h, w] so far.
Progress = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Inverted:
    """A picture's way back to noise.

    latent [B, 4, h, w] as the VAE gave it; empty is the empty prompt in the engine's own form;
    reconstructed [B, 4, h, w] is the latent that sampling leads back to, None if unchecked.
    """

    trajectory: Trajectory
    latent: Tensor
    empty: Any
    reconstructed: Tensor | None = None


@dataclass(frozen=True)
class RegionStyle:
    """What is painted in one region: prompts and style in the engine's own form.

    feature_steps and attention_steps: fractions of the run, its noisy end, in which the content is
    injected.
    """

    positive: Any
    negative: Any
    style: Any = None
    feature_steps: float = 0.6
    attention_steps: float = 0.5


def inverting_steps(run: Run, steps: int, inversion_steps: int) -> int:
    """How many steps `invert_picture` takes, without its check."""
    return len(inversion_grid(steps, inversion_steps, len(run.alphas)))


def invert_picture(
    run: Run,
    latent: Tensor,
    empty: Any,
    steps: int,
    inversion_steps: int,
    check: bool = False,
    progress: Progress | None = None,
) -> Inverted:
    """Invert a VAE's latent [B, 4, h, w] with the empty prompt; with `check`, sample it back.

    Raises ValueError as `ddim_inversion.invert` does.
    """
    branch = run.branch([empty])
    scaled = run.into_model(latent)
    trajectory = invert(scaled, branch, run.alphas, steps, inversion_steps, progress)
    if not check:
        return Inverted(trajectory, latent, empty)
    done = inverting_steps(run, steps, inversion_steps)
    sampled = reconstruct(trajectory, branch, run.alphas, progress and _after(done, progress))
    return Inverted(trajectory, latent, empty, run.out_of_model(sampled).to(latent))


def paint_styles(
    run: Run,
    inverted: Inverted,
    styles: Sequence[RegionStyle],
    weights: Tensor,
    settings: DiffStylerSettings | None = None,
    lora_in_hooked: bool = True,
    progress: Progress | None = None,
    guard: IdentityGuard | None = None,
) -> Tensor:
    """Paint K styles into an inverted picture; gives its latent [B, 4, h, w], as the VAE takes it.

    weights: [K, B, 1, h, w], as for `diffstyler.stylize`; a style without weight makes no branch.
    lora_in_hooked: whether styles also act in the self-attentions that are injected into. With
    background "latent" the result equals the latent bit for bit where no style has weight.
    """
    settings = settings or DiffStylerSettings()
    layers = run.attention_layers
    hooked = frozenset(hooked_attentions(layers, settings.inject_cross))
    bypassed = frozenset() if lora_in_hooked else hooked
    base = _base(run, inverted.empty, styles[0].negative, settings)
    branches = [
        _style(run, style, inverted.empty, settings, bypassed)
        if weight.any()
        # Never asked: nothing is painted where there is no weight.
        else Style(base.record)
        for style, weight in zip(styles, weights, strict=True)
    ]
    weights = weights.to(run.device)
    painted = stylize(
        inverted.trajectory, weights, branches, base, run.alphas, layers, settings, progress, guard
    )
    painted = run.out_of_model(painted).to(inverted.latent)
    if settings.background == "latent":
        # Scaling there and back may round.
        kept = weights.sum(dim=0).to(painted.device) == 0
        painted = torch.where(kept, inverted.latent, painted)
    return painted


def transfer_latents(
    run: Run,
    style_run: Run,
    content: Tensor,
    style: Tensor,
    prompt: Any,
    steps: int,
    inversion_steps: int,
    settings: QueryPreserving | None = None,
    progress: Progress | None = None,
    guard: IdentityGuard | None = None,
) -> Tensor:
    """A VAE's latent [B, 4, h, w] in the style of others [1 or B, 4, h', w'], under one prompt.

    run is for the content's shape and style_run for the style's. progress counts the steps of both
    inversions and of the painting: 2 * `inverting_steps` + steps.
    """
    branches = run.branch([prompt]), style_run.branch([prompt])
    inverting = inverting_steps(run, steps, inversion_steps)
    trajectories = [
        invert(
            run.into_model(latent), branch, run.alphas, steps, inversion_steps,
            progress and _after(number * inverting, progress),
        )
        for number, (latent, branch) in enumerate(zip((content, style), branches, strict=True))
    ]  # fmt: skip
    result = transfer_style(
        *trajectories, *branches, run.alphas, run.attention_layers, settings or QueryPreserving(),
        guard, progress and _after(2 * inverting, progress),
    )  # fmt: skip
    return run.out_of_model(result).to(content)


def _base(run: Run, empty: Any, negative: Any, settings: DiffStylerSettings) -> Base:
    prompts = {"base": [negative, empty], "base_cfg1": [empty]}.get(settings.background)
    return Base(run.branch([empty]), run.branch(prompts) if prompts else None)


def _style(
    run: Run,
    style: RegionStyle,
    empty: Any,
    settings: DiffStylerSettings,
    bypassed: frozenset[Attention],
) -> Style:
    # Without guidance the negative prompt has no effect.
    prompts = [style.positive] if settings.guidance == 1 else [style.negative, style.positive]
    own = settings.inject_source == "self"
    record = run.branch([empty], style.style, bypassed) if own else None
    predict = run.branch(prompts, style.style, bypassed)
    return Style(predict, record, style.feature_steps, style.attention_steps)


def _after(done: int, progress: Progress) -> Progress:
    return lambda step, clean: progress(done + step, clean)
