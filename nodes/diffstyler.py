"""DiffStyler: invert a picture, give regions their styles, and paint them in."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..engines.comfyui import Conditioning
from ..engines.comfyui_branches import ComfyUIRun, changed_weights
from ..engines.comfyui_guard import guard_of
from ..techniques.ddim_inversion import (
    LEAST_PSNR,
    Trajectory,
    inversion_grid,
    invert,
    psnr,
    reconstruct,
)
from ..techniques.diffstyler import (
    CHOICES,
    Base,
    DiffStylerSettings,
    Style,
    cell_weights,
    region_weights,
    stylize,
)
from ..techniques.injection import hooked_attentions
from ..techniques.region_overlay import COLOURS, draw_regions
from ..techniques.shapes import as_image, as_mask, fit_mask, match_batch, split_alpha
from ..techniques.soft_inpaint import pad_to_cells
from .sockets import RegionsSocket, TrajectorySocket


@dataclass(frozen=True)
class InvertedPicture:
    """What travels as VISAGE_TRAJECTORY: the inversion, and with what it was made.

    picture [B, H, W, 3] as it came; latent [B, 4, h, w] as the VAE gave it; empty is the
    conditioning of the empty prompt.
    """

    trajectory: Trajectory
    picture: Tensor
    latent: Tensor
    model: ModelPatcher
    empty: Conditioning


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


class VisageInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageInvert",
            display_name="Invert",
            category="Visage",
            description="Finds the noise from which the model paints this very picture (DDIM "
            "inversion with an empty prompt), for DiffStyler. One inversion serves any number of "
            "styles.",
            inputs=[
                io.Model.Input("model", tooltip="The base model, without any style's LoRA."),
                io.Clip.Input("clip", tooltip="Its text encoder, for the empty prompt."),
                io.Vae.Input("vae", tooltip="Its VAE."),
                io.Image.Input("image", tooltip="The picture to restyle, of any size."),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=500,
                    tooltip="Steps that DiffStyler will take. 50 is the paper's.",
                ),
                io.Int.Input(
                    "inversion_steps",
                    default=999,
                    min=50,
                    max=999,
                    tooltip="How finely the way to the noise is followed: at least so many steps "
                    "for the whole schedule, rounded up so that every step of the sampling is "
                    "among them. 999 takes every timestep; 100 is quick and often enough.",
                ),
                io.Boolean.Input(
                    "check",
                    default=True,
                    tooltip="Sample the picture back and measure how well that works. Takes the "
                    "time of sampling without guidance.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", display_name="trajectory", tooltip="For DiffStyler."
                ),
                io.Image.Output(
                    "reconstruction",
                    display_name="reconstruction",
                    tooltip="The picture sampled back; the picture through the VAE alone when "
                    "check is off.",
                ),
                io.Float.Output(
                    "psnr",
                    display_name="psnr",
                    tooltip="Likeness of the reconstruction to the picture through the VAE alone, "
                    "in dB: above 25 is good. 0 when check is off.",
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="The same in words, with a warning."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, clip, vae, image, steps: int, inversion_steps: int, check: bool
    ) -> io.NodeOutput:
        picture, _ = split_alpha(as_image(image))
        latent = vae.encode(pad_to_cells(picture.movedim(-1, 1)).movedim(1, -1))
        empty = clip.encode_from_tokens_scheduled(clip.tokenize(""))
        with ComfyUIRun(model, latent.shape) as run:
            branch = run.branch([empty])
            done = len(inversion_grid(steps, inversion_steps, len(run.alphas)))
            show = _progress(model, done + steps * check)
            scaled = model.model.process_latent_in(latent)
            trajectory = invert(scaled, branch, run.alphas, steps, inversion_steps, show)
            if check:
                sampled = reconstruct(
                    trajectory, branch, run.alphas, lambda step, x0: show(done + step, x0)
                )
        through_vae = vae.decode(latent)
        if check:
            shown = vae.decode(model.model.process_latent_out(sampled).to(latent.device))
            likeness = psnr(shown, through_vae)
        else:
            shown, likeness = through_vae, 0.0
        report = _inversion_report(done, steps, likeness if check else None)
        height, width = picture.shape[1:3]
        inverted = InvertedPicture(trajectory, picture, latent, model, empty)
        return io.NodeOutput(inverted, shown[:, :height, :width], min(likeness, 999.0), report)


def _inversion_report(done: int, steps: int, likeness: float | None) -> str:
    report = f"{done} steps of inversion for {steps} steps of sampling."
    if likeness is None:
        return f"{report} The reconstruction was not checked."
    report = f"{report} Reconstruction: {likeness:.1f} dB."
    if likeness < LEAST_PSNR:
        report += (
            f" That is under {LEAST_PSNR:.0f} dB: the model will not keep this picture's content "
            "well. Take more inversion steps, or a size nearer to the model's own."
        )
        logging.warning("Invert: %s", report)
    return report


class _ColourInput(io.Combo.Input):
    """Tells the swatches on the canvas (web/region_colours.js) what the names look like."""

    def as_dict(self) -> dict:
        return super().as_dict() | {"colours": COLOURS}


class VisageStyleRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleRegion",
            display_name="Style Region",
            category="Visage",
            description="One style and where it goes. Chain one node for each style; where regions "
            "overlap, the later one wins.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The base model with the style's LoRA, from a LoRA loader.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="What the region shows, in the words that its LoRA was trained with.",
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What to stay away from; the paper's is 'ugly, blurry, black, low res, "
                    "unrealistic'.",
                ),
                io.String.Input(
                    "name", default="style", tooltip="What the overlay and the report call it."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the region's content gives way to the style: 0 leaves it "
                    "as it is.",
                ),
                io.Float.Input(
                    "feature_steps",
                    default=0.6,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the run, from its noisy start, in which the content's layout "
                    "is injected. More keeps more of the content.",
                ),
                io.Float.Input(
                    "attention_steps",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the run, from its noisy start, in which the content's "
                    "queries and keys are injected. More keeps more of the content.",
                ),
                _ColourInput(
                    "colour",
                    options=["auto", *COLOURS],
                    default="auto",
                    tooltip="The region's colour in the overlay.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the style goes, soft or hard, at the picture's size; the whole "
                    "picture when nothing is connected.",
                ),
                RegionsSocket.Input(
                    "regions", optional=True, tooltip="The regions before this one."
                ),
            ],
            outputs=[
                RegionsSocket.Output(
                    "regions_out",
                    display_name="regions",
                    tooltip="These regions and this one, for DiffStyler or the next Style Region.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, negative, name: str, strength: float, feature_steps: float,
        attention_steps: float, colour: str, mask=None, regions=(),
    ) -> io.NodeOutput:  # fmt: skip
        colour = list(COLOURS)[len(regions) % len(COLOURS)] if colour == "auto" else colour
        region = Region(
            model, positive, negative, mask, name, strength, colour, feature_steps, attention_steps
        )
        return io.NodeOutput((*regions, region))


class VisageDiffStyler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageDiffStyler",
            display_name="DiffStyler",
            category="Visage",
            description="Paints styles into an inverted picture, each in its own region, and keeps "
            "the picture's layout by injecting the base model's features and attention. Finish "
            "with VAE Decode and Pixel Blend.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The base model that made the inversion; with an Identity Guard on it, "
                    "faces hold on to the content longer.",
                ),
                TrajectorySocket.Input("trajectory", tooltip="From Invert."),
                RegionsSocket.Input("regions", tooltip="From Style Region, one for each style."),
                io.Float.Input(
                    "guidance",
                    default=10.5,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    tooltip="How strictly the prompts are followed (classifier-free guidance). At "
                    "1 the negative prompts have no effect, and painting is twice as fast.",
                ),
                io.Combo.Input(
                    "inject_source",
                    options=list(CHOICES["inject_source"]),
                    default="base",
                    tooltip="base: inject what the base model makes of the content, once for all "
                    "styles, as in the paper. self: what each style's own model makes of it, as "
                    "in the paper's released code; slower.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(CHOICES["attention"]),
                    default="hard",
                    tooltip="hard: replace queries and keys during each region's attention_steps. "
                    "adaptive: mix them in all steps, less and less.",
                ),
                io.Float.Input(
                    "kappa",
                    default=2.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How long adaptive attention holds on to the content: at 2 fully for "
                    "the first half of the run. Used when attention is adaptive.",
                ),
                io.Boolean.Input(
                    "inject_cross",
                    default=False,
                    tooltip="Inject into cross-attention as well, as the paper's first release "
                    "did. Keeps more content and takes less style.",
                ),
                io.Boolean.Input(
                    "lora_in_hooked",
                    default=True,
                    tooltip="Let LoRAs act in the self-attentions that are injected into, too. Off "
                    "is the paper's released code: less style.",
                ),
                io.Combo.Input(
                    "background",
                    options=list(CHOICES["background"]),
                    default="latent",
                    tooltip="Outside the regions. latent: the picture itself, exactly. base: "
                    "painted again by the base model, under guidance, as in the paper's released "
                    "code. base_cfg1: the same without guidance.",
                ),
                io.Float.Input(
                    "base_feature_steps",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="feature_steps of a background that the base model paints.",
                ),
                io.Float.Input(
                    "base_attention_steps",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="attention_steps of a background that the base model paints.",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=["soft", "half", "official"],
                    default="soft",
                    tooltip="How a mask becomes latent cells. soft: each cell's mean. half: that "
                    "mean, rounded. official: 1 where the middle of a cell is masked at all, as "
                    "in the paper's released code.",
                ),
                io.Combo.Input(
                    "style_blend",
                    options=list(CHOICES["style_blend"]),
                    default="mask",
                    tooltip="mask: each style in its own region. temporal: all styles in all "
                    "regions, one after the other: the first sets layout and colour, the last "
                    "texture.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The painted picture, for VAE Decode.",
                ),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="All regions together, for Soft Mask and Pixel Blend.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The picture with the regions in colour, under their names.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="JSON: steps, each region's name, share of the picture and warnings.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, trajectory, regions, guidance: float, inject_source: str, attention: str,
        kappa: float, inject_cross: bool, lora_in_hooked: bool, background: str,
        base_feature_steps: float, base_attention_steps: float, mask_mode: str, style_blend: str,
    ) -> io.NodeOutput:  # fmt: skip
        settings = DiffStylerSettings(
            guidance, inject_source, attention, kappa, inject_cross, background,
            base_feature_steps, base_attention_steps, style_blend,
        )  # fmt: skip
        _require_same_model(model, trajectory)
        masks = torch.stack([_fitted_mask(region, trajectory.picture) for region in regions])
        strengths = torch.tensor([region.strength for region in regions])
        weights = cell_weights(_padded(masks), strengths, mask_mode)
        result = _paint(model, trajectory, regions, weights, settings, lora_in_hooked)
        amounts = strengths.view(-1, 1, 1, 1)
        pixels = region_weights(amounts * masks)
        # The latent is mixed by strength already: pixels are blended as far as the masks go.
        covered = ((amounts > 0) * masks).sum(dim=0).clamp(max=1)
        overlay = torch.stack(
            [
                draw_regions(
                    picture,
                    pixels[:, row],
                    [region.name for region in regions],
                    [region.colour for region in regions],
                )
                for row, picture in enumerate(trajectory.picture)
            ]
        )
        report = _painting_report(model, trajectory.trajectory, regions, pixels)
        return io.NodeOutput({"samples": result}, covered, overlay, report)


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


def _paint(
    model: ModelPatcher,
    inverted: InvertedPicture,
    regions: tuple[Region, ...],
    weights: Tensor,
    settings: DiffStylerSettings,
    lora_in_hooked: bool,
) -> Tensor:
    """The painted latent [B, 4, h, w], as the VAE takes it."""
    steps = len(inverted.trajectory.timesteps)
    guard = guard_of(model)
    if guard is not None:
        guard.require_fit(inverted.latent.shape)
    with ComfyUIRun(model, inverted.latent.shape) as run:
        layers = run.attention_layers
        hooked = hooked_attentions(layers, settings.inject_cross)
        bypassed = frozenset() if lora_in_hooked else frozenset(hooked)
        negative = regions[0].negative
        prompts = {"base": [negative, inverted.empty], "base_cfg1": [inverted.empty]}
        painted = prompts.get(settings.background)
        base = Base(run.branch([inverted.empty]), painted and run.branch(painted))
        styles = [
            _style(run, region, inverted.empty, settings, bypassed)
            if weight.any()
            # Never asked: nothing is painted where there is no weight.
            else Style(base.record)
            for region, weight in zip(regions, weights, strict=True)
        ]
        weights = weights.to(model.load_device)
        result = stylize(
            inverted.trajectory, weights, styles, base, run.alphas, layers, settings,
            _progress(model, steps), guard,
        )  # fmt: skip
    result = model.model.process_latent_out(result).to(inverted.latent)
    if settings.background == "latent":
        # Scaling there and back may round.
        kept = weights.sum(dim=0).to(result.device) == 0
        result = torch.where(kept, inverted.latent, result)
    return result


def _style(
    run: ComfyUIRun,
    region: Region,
    empty: Conditioning,
    settings: DiffStylerSettings,
    bypassed: frozenset,
) -> Style:
    prompts = [region.positive]
    if settings.guidance != 1:
        prompts = [region.negative, region.positive]
    record = None
    if settings.inject_source == "self":
        record = run.branch([empty], region.model, bypassed)
    return Style(
        run.branch(prompts, region.model, bypassed),
        record,
        region.feature_steps,
        region.attention_steps,
    )


def _painting_report(
    model: ModelPatcher, trajectory: Trajectory, regions: tuple[Region, ...], pixels: Tensor
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


def _progress(model: ModelPatcher, total: int):
    """Progress bar with previews, as ComfyUI's samplers show them."""
    show = latent_preview.prepare_callback(model, total)
    return lambda step, clean: show(step, clean, None, total)


NODES: list[type[io.ComfyNode]] = [VisageInvert, VisageStyleRegion, VisageDiffStyler]
