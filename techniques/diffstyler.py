"""DiffStyler: styles learned from one picture each, painted into regions of another picture.

Li, "DiffStyler: Diffusion-based Localized Image Style Transfer". The content is inverted; at every
step the base model's view of it is recorded and injected into each style's pass, and the passes
are merged by their masks. With the noise eps^k of style k after guidance and disjoint weights
M~_k = M_k prod_(j>k) (1 - M_j), "mask-wise DDIM" is
    x_s = sum_k M~_k DDIM(x_t, eps^k) + M~_0 x^0_s,
where x^0_s is the content's own latent, or the base model's. The styles share one latent x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.ddim import clean_latent, ddim_step, level_alpha
from ..diffusion.latent import to_latent_size
from ..diffusion.taps import Branch, Taps
from ..models.user_input import require_choice
from .ddim_inversion import Trajectory
from .identity_guard import IdentityGuard
from .injection import (
    FaceInjection,
    Recording,
    adaptive_ratio,
    feature_layer,
    hooked_attentions,
    injection_taps,
    recording_taps,
)

CHOICES = {
    "inject_source": ("base", "self"),
    "attention": ("hard", "adaptive"),
    "background": ("latent", "base", "base_cfg1"),
    "style_blend": ("mask", "temporal"),
    "background_attention": ("as the styles", "hard", "adaptive"),
}


@dataclass(frozen=True)
class DiffStylerSettings:
    """What holds for all regions; the defaults keep the background exactly.

    inject_source: what is recorded, the "base" model's pass over the content (the paper) or each
    LoRA's own, "self" (the released code). attention: "hard" replaces queries and keys during the
    style's attention_steps, "adaptive" mixes them by r(t) = clip(kappa t / T) in all steps.
    inject_cross: inject into cross-attention, too (the release of 2024). background: outside the
    regions the content's "latent" itself, the "base" model under guidance with base_feature_steps
    and base_attention_steps (the released code), or "base_cfg1", the same without guidance; its
    background_attention is another choice for `attention` (the release of 2025 has "adaptive" there
    and "hard" in the styles).
    style_blend: styles side by side by "mask", or one after the other in the union, "temporal".
    """

    guidance: float = 10.5
    inject_source: str = "base"
    attention: str = "hard"
    kappa: float = 2.0
    inject_cross: bool = False
    background: str = "latent"
    base_feature_steps: float = 1.0
    base_attention_steps: float = 1.0
    style_blend: str = "mask"
    background_attention: str = "as the styles"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            require_choice(name, getattr(self, name), known)


@dataclass(frozen=True)
class Style:
    """One style's model and how long the content is injected into it.

    predict: the branch with the style's LoRA for the prompts (negative, positive), or (positive,)
    alone, which is sampling without guidance. record: the same LoRA with the empty prompt, for
    inject_source "self". feature_steps and attention_steps are fractions of the run, counted from
    its noisy end.
    """

    predict: Branch
    record: Branch | None = None
    feature_steps: float = 0.6
    attention_steps: float = 0.5


@dataclass(frozen=True)
class Base:
    """The model without a style: record, for the empty prompt, and predict, for the prompts of a
    background that it paints."""

    record: Branch
    predict: Branch | None = None


def latent_mask(mask: Tensor, mode: str = "soft") -> Tensor:
    """Mask [B, H, W], multiples of 8 px, at latent size [B, 1, H/8, W/8].

    "soft" is each cell's mean and "half" that mean rounded; "official" is the released code's 1
    wherever one of a cell's four middle pixels is not 0. Raises ValueError for another mode.
    """
    if mode == "official":
        cells = mask.unfold(1, 8, 8).unfold(2, 8, 8)[..., 3:5, 3:5]
        return (cells > 0).flatten(-2).any(-1).to(mask.dtype).unsqueeze(1)
    if mode not in ("soft", "half"):
        raise ValueError(f"mask_mode is {mode!r}; it can be soft, half, official.")
    cells = to_latent_size(mask)
    return cells if mode == "soft" else (cells >= 0.5).to(cells.dtype)


def region_weights(masks: Tensor) -> Tensor:
    """Weights [K, B, ...] of masks [K, B, ...] which sum to at most 1: later wins.

    An earlier mask has what the later ones leave, M~_k = min(M_k, 1 - sum_(j>k) M~_j): where masks
    are 0 or 1 that is the product above, and soft edges that meet leave no gap between them.
    """
    weights, left = [], torch.ones_like(masks[0])
    for mask in reversed(masks):
        weights.append(torch.minimum(mask, left))
        left = left - weights[-1]
    return torch.stack(weights[::-1])


def cell_weights(masks: Tensor, strengths: Tensor, mode: str = "soft") -> Tensor:
    """Weights [K, B, 1, H/8, W/8] of masks [K, B, H, W] with strengths [K] in 0..1.

    Cells are made as by `latent_mask`. A "soft" cell holds each region's share of its pixels, and
    where regions overlap the later one wins. In the other modes a cell belongs to the last region
    that has it, as far as that region's strength goes.
    """
    strengths = strengths.view(-1, 1, 1, 1)
    if mode == "soft":
        return torch.stack([latent_mask(mask, mode) for mask in region_weights(strengths * masks)])
    cells = torch.stack([latent_mask(mask, mode) for mask in masks])
    return region_weights(strengths.unsqueeze(-1) * cells)


def injected_steps(fraction: float, steps: int) -> int:
    """Return how many of a run's steps a fraction of it is, rounded down."""
    return math.floor(fraction * steps + 1e-9)


def temporal_weights(step: int, steps: int, styles: int) -> list[float]:
    """Return each style's weight at a step when the styles follow one another.

    One style fades into the next over a tenth of the run. The weights of a step sum to 1.
    """
    fade, now = 0.1 * steps, step + 0.5

    def begun(style: int) -> float:
        if style in (0, styles):
            return 1.0 if style == 0 else 0.0
        return min(max((now - (style * steps / styles - fade / 2)) / fade, 0.0), 1.0)

    return [begun(style) - begun(style + 1) for style in range(styles)]


@torch.inference_mode()
def stylize(
    trajectory: Trajectory,
    weights: Tensor,
    styles: Sequence[Style],
    base: Base,
    alphas: Tensor,
    attention_layers: Collection[int],
    settings: DiffStylerSettings | None = None,
    progress: Callable[[int, Tensor], None] | None = None,
    guard: IdentityGuard | None = None,
) -> Tensor:
    """Paint K styles into an inverted picture; gives its clean latent [B, 4, h, w].

    weights [K, B, 1, h, w] from `region_weights`, on the device of the models. With background
    "latent" the result is the picture's own latent, to the bit, wherever no style has weight; a
    style without weight costs nothing. progress(step, clean latent so far) follows every step.
    A guard lets the content's features and attention hold on longer in faces.
    """
    settings = settings or DiffStylerSettings()
    run = _Run(trajectory, weights, styles, base, alphas, attention_layers, settings, guard)
    if not run.painted and settings.background == "latent":
        return trajectory.clean.to(weights.device)
    latent = trajectory.latents[0].to(weights.device)
    for step in range(len(trajectory.timesteps)):
        latent, clean = run.step(step, latent)
        if progress is not None:
            progress(step, clean)
    return latent


class _Run:
    """What stays the same over the steps of one run."""

    def __init__(
        self,
        trajectory: Trajectory,
        weights: Tensor,
        styles: Sequence[Style],
        base: Base,
        alphas: Tensor,
        attention_layers: Collection[int],
        settings: DiffStylerSettings,
        guard: IdentityGuard | None,
    ) -> None:
        self.trajectory, self.weights, self.base = trajectory, weights, base
        self.styles, self.alphas, self.settings = styles, alphas, settings
        self.guard = guard
        self.feature_layer = feature_layer(attention_layers)
        self.attentions = hooked_attentions(attention_layers, settings.inject_cross)
        self.painted = [index for index in range(len(styles)) if weights[index].any()]
        # The base model's pass over the content at the present step.
        self._recorded: Recording | None = None

    def step(self, step: int, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The latent one level below, and the clean latent expected behind it."""
        timesteps = self.trajectory.timesteps
        timestep = timesteps[step]
        below = timesteps[step + 1] if step + 1 < len(timesteps) else 0
        alpha, next_alpha = level_alpha(self.alphas, timestep), level_alpha(self.alphas, below)
        noises = self._noises(step, timestep, latent)
        total = sum((weight for weight, _ in noises), torch.zeros_like(self.weights[0]))
        if self.settings.background == "latent":
            moved = [(weight, ddim_step(latent, e, alpha, next_alpha)) for weight, e in noises]
            clean = [(weight, clean_latent(latent, e, alpha)) for weight, e in noises]
            content = self.trajectory.latents[step + 1]
            return _over(moved, total, content), _over(clean, total, self.trajectory.clean)
        noises.append((1 - total, self._background(step, timestep, latent)))
        noise = sum(weight * e for weight, e in noises)
        return ddim_step(latent, noise, alpha, next_alpha), clean_latent(latent, noise, alpha)

    def _noises(self, step: int, timestep: int, latent: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weight [B, 1, h, w] and noise [B, 4, h, w] of what is painted at this step."""
        self._recorded = None
        steps = len(self.trajectory.timesteps)
        if self.settings.style_blend == "mask":
            return [
                (self.weights[index], self._styled(index, step, timestep, latent))
                for index in self.painted
            ]
        weights = temporal_weights(step, steps, len(self.painted)) if self.painted else []
        parts = [
            weight * self._styled(index, step, timestep, latent)
            for index, weight in zip(self.painted, weights, strict=True)
            if weight > 0
        ]
        return [(self.weights.sum(dim=0), sum(parts))] if parts else []

    def _styled(self, index: int, step: int, timestep: int, latent: Tensor) -> Tensor:
        style = self.styles[index]
        own = self.settings.inject_source == "self"
        adaptive = self.settings.attention == "adaptive"
        taps = self._taps(
            style.feature_steps,
            1.0 if adaptive else style.attention_steps,
            step,
            style.record if own else self.base.record,
            adaptive,
        )
        return self._guided(style.predict(latent, timestep, taps), self.settings.guidance)

    def _background(self, step: int, timestep: int, latent: Tensor) -> Tensor:
        own = self.settings.background_attention
        kind = self.settings.attention if own == "as the styles" else own
        taps = self._taps(
            self.settings.base_feature_steps,
            self.settings.base_attention_steps,
            step,
            self.base.record,
            kind == "adaptive",
        )
        if self.base.predict is None:
            raise ValueError("A background painted by the base model needs its `predict`.")
        return self._guided(self.base.predict(latent, timestep, taps), self.settings.guidance)

    def _taps(
        self,
        feature_fraction: float,
        attention_fraction: float,
        step: int,
        record: Branch,
        adaptive: bool,
    ) -> Taps | None:
        """The taps that inject at this step; `record` is the branch that records the content."""
        steps = len(self.trajectory.timesteps)
        feature = step < injected_steps(feature_fraction, steps)
        attention = step < injected_steps(attention_fraction, steps)
        faces = self._faces(step, feature_fraction, attention_fraction)
        if not feature and not attention and faces is None:
            return None
        ratio = 1.0
        if adaptive:
            timestep = self.trajectory.timesteps[step]
            ratio = adaptive_ratio(timestep, self.settings.kappa, len(self.alphas))
        recording = self._record(step, record)
        if faces is not None and faces.attention and not attention:
            hooked = [attention for attention in self.attentions if attention.kind == "self"]
            return injection_taps(recording, feature, hooked, 0.0, faces)
        hooked = self.attentions if attention else []
        return injection_taps(recording, feature, hooked, ratio, faces)

    def _faces(
        self, step: int, feature_fraction: float, attention_fraction: float
    ) -> FaceInjection | None:
        """The guard's injection into faces at this step, or None."""
        progress = 1 - self.trajectory.timesteps[step] / len(self.alphas)
        if self.guard is None or not self.guard.acts_at(progress):
            return None
        feature, attention = (
            step < injected_steps(self.guard.hold(own), len(self.trajectory.timesteps))
            for own in (feature_fraction, attention_fraction)
        )
        if not feature and not attention:
            return None
        return FaceInjection(self.guard.mix * self.guard.mask, feature, attention)

    def _record(self, step: int, record: Branch) -> Recording:
        """The content's pass at this step; the base model's is made once for all styles."""
        if record is self.base.record and self._recorded is not None:
            return self._recorded
        recording, content = (
            Recording(self.feature_layer),
            self.trajectory.latents[step].to(self.weights.device),
        )
        record(content, self.trajectory.timesteps[step], recording_taps(recording, self.attentions))
        if record is self.base.record:
            self._recorded = recording
        return recording

    @staticmethod
    def _guided(noise: Tensor, guidance: float) -> Tensor:
        """Classifier-free guidance over the rows (negative, positive), or the one row there is."""
        return noise[0] if len(noise) == 1 else noise[0] + guidance * (noise[1] - noise[0])


def _over(parts: list[tuple[Tensor, Tensor]], total: Tensor, background: Tensor) -> Tensor:
    """Weighted parts over a background, which stays to the bit where nothing has weight."""
    background = background.to(total.device)
    mixed = (1 - total) * background + sum(weight * part for weight, part in parts)
    return torch.where(total > 0, mixed, background)
