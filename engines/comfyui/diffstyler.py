"""DiffStyler behind its nodes: what travels between them, and the work that each of them does."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from torch import Tensor

from ...diffusion.latent import pad_to_cells
from ...techniques.ddim_inversion import MIN_PSNR, Trajectory, psnr
from ...techniques.diffstyler import DiffStylerSettings, cell_weights, region_weights
from ...techniques.region_overlay import draw_regions
from ...techniques.restyling import (
    Inverted,
    RegionStyle,
    invert_picture,
    inverting_steps,
    paint_styles,
)
from ...techniques.shapes import as_image, as_mask, fit_mask, match_batch, split_alpha
from .branches import ComfyUIRun, changed_weights
from .guard import guard_of
from .inpaint_conditioning import Conditioning
from .preview import preview_progress


@dataclass(frozen=True, kw_only=True)
class InvertedPicture(Inverted):
    """What travels as VISAGE_TRAJECTORY: the inversion, and with what it was made.

    picture [B, H, W, 3] as it came.
    """

    picture: Tensor
    model: ModelPatcher


@dataclass(frozen=True)
class Region:
    """What travels, in a tuple, as VISAGE_REGIONS: one style and where it goes."""

    model: ModelPatcher
    positive: Conditioning
    negative: Conditioning
    mask: Tensor | None
    name: str
    strength: float
    colour: str
    feature_steps: float
    attention_steps: float


class Inversion(NamedTuple):
    """An inverted picture, what it looks like sampled back, how like in dB, and that in words."""

    inverted: InvertedPicture
    reconstruction: Tensor
    psnr: float
    report: str


class Painting(NamedTuple):
    """A painted latent, all regions' mask, the picture with the regions in colour, and a report."""

    latent: Tensor
    mask: Tensor
    overlay: Tensor
    report: str


def invert_image(
    model: ModelPatcher,
    clip: CLIP,
    vae: VAE,
    image: Tensor,
    steps: int,
    inversion_steps: int,
    check: bool,
) -> Inversion:
    """Invert pictures [B, H, W, C] for DiffStyler; with `check`, sample them back and compare."""
    picture, _ = split_alpha(as_image(image))
    latent = vae.encode(pad_to_cells(picture.movedim(-1, 1)).movedim(1, -1))
    empty = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    with ComfyUIRun(model, latent.shape) as run:
        done = inverting_steps(run, steps, inversion_steps)
        stages = [("inverting", done), ("sampling back", steps)][: 1 + check]
        show = preview_progress(model, stages)
        found = invert_picture(run, latent, empty, steps, inversion_steps, check, show)
    shown = through_vae = vae.decode(latent)
    likeness = None
    if found.reconstructed is not None:
        shown = vae.decode(found.reconstructed)
        likeness = psnr(shown, through_vae)
    height, width = picture.shape[1:3]
    inverted = InvertedPicture(
        found.trajectory, latent, empty, found.reconstructed, picture=picture, model=model
    )
    return Inversion(
        inverted,
        shown[:, :height, :width],
        min(likeness or 0.0, 999.0),
        inversion_report(done, steps, likeness),
    )


def inversion_report(done: int, steps: int, likeness: float | None) -> str:
    report = f"{done} steps of inversion for {steps} steps of sampling."
    if likeness is None:
        return f"{report} The reconstruction was not checked."
    report = f"{report} Reconstruction: {likeness:.1f} dB."
    if likeness < MIN_PSNR:
        report += (
            f" That is under {MIN_PSNR:.0f} dB: the model will not keep this picture's content "
            "well. Take more inversion steps, or a size nearer to the model's own."
        )
        logging.warning("Invert: %s", report)
    return report


def paint_regions(
    model: ModelPatcher,
    inverted: InvertedPicture,
    regions: Sequence[Region],
    settings: DiffStylerSettings,
    lora_in_hooked: bool,
    mask_mode: str,
) -> Painting:
    """Paint each region in its style. Raises ValueError for another model than the inversion's."""
    _require_same_model(model, inverted)
    masks = torch.stack([_fitted_mask(region, inverted.picture) for region in regions])
    strengths = torch.tensor([region.strength for region in regions])
    weights = cell_weights(_padded(masks), strengths, mask_mode)
    guard = guard_of(model)
    if guard is not None:
        guard.require_fit(inverted.latent.shape)
    styles = [
        RegionStyle(
            region.positive,
            region.negative,
            region.model,
            region.feature_steps,
            region.attention_steps,
        )
        for region in regions
    ]
    show = preview_progress(model, [("painting", len(inverted.trajectory.timesteps))])
    with ComfyUIRun(model, inverted.latent.shape) as run:
        painted = paint_styles(
            run, inverted, styles, weights, settings, lora_in_hooked, show, guard
        )
    amounts = strengths.view(-1, 1, 1, 1)
    pixels = region_weights(amounts * masks)
    # The latent is mixed by strength already: pixels are blended as far as the masks go.
    covered = ((amounts > 0) * masks).sum(dim=0).clamp(max=1)
    report = _painting_report(model, inverted.trajectory, regions, pixels)
    return Painting(painted, covered, _overlay(inverted.picture, regions, pixels), report)


def _overlay(pictures: Tensor, regions: Sequence[Region], pixels: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] with the weights [K, B, H, W] of their regions in colour."""
    names, colours = [region.name for region in regions], [region.colour for region in regions]
    drawn = [
        draw_regions(picture, pixels[:, row], names, colours)
        for row, picture in enumerate(pictures)
    ]
    return torch.stack(drawn)


def _require_same_model(model: ModelPatcher, inverted: InvertedPicture) -> None:
    if not model.is_clone(inverted.model):
        raise ValueError(
            "The trajectory was made with another model. Connect the same base model to Invert "
            "and DiffStyler."
        )
    if changed_weights(inverted.model, model):
        raise ValueError(
            "The trajectory was made with other LoRAs on the model. Connect the same base model to "
            "Invert and DiffStyler, and the styles' LoRAs to Style Region only."
        )


def _fitted_mask(region: Region, picture: Tensor) -> Tensor:
    """The region's mask [B, H, W] at the picture's size."""
    height, width = picture.shape[1:3]
    if region.mask is None:
        return torch.ones(picture.shape[:3])
    what = f"the mask of region '{region.name}'"
    mask = fit_mask(as_mask(region.mask, what), height, width, what)
    if len(mask) not in (1, len(picture)):
        match_batch(picture, mask, "the trajectory's picture", what)
    return mask.expand(len(picture), -1, -1)


def _padded(masks: Tensor) -> Tensor:
    """Masks [K, B, H, W] with sides that are multiples of 8."""
    return torch.stack([pad_to_cells(mask.unsqueeze(1)).squeeze(1) for mask in masks])


def _painting_report(
    model: ModelPatcher, trajectory: Trajectory, regions: Sequence[Region], pixels: Tensor
) -> str:
    described: list[dict[str, Any]] = []
    for region, weight in zip(regions, pixels, strict=True):
        entry = {"name": region.name, "share": round(float(weight.mean()), 6)}
        if not weight.any():
            entry["warning"] = "nothing to paint: the mask is empty, covered or of strength 0"
        elif not changed_weights(model, region.model):
            entry["warning"] = "its model has no LoRA: only the prompt makes the style"
        if "warning" in entry:
            logging.warning("DiffStyler: region '%s': %s", region.name, entry["warning"])
        described.append(entry)
    return json.dumps({"steps": len(trajectory.timesteps), "regions": described}, indent=2)
