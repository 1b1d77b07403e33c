"""Style from a picture through what a diffusion model makes of it."""

from __future__ import annotations

import latent_preview
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..engines.comfyui_branches import ComfyUIRun
from ..engines.comfyui_gradients import ordinary, private_copy, use_checkpointing
from ..engines.comfyui_guard import guard_of
from ..techniques.attention_distillation import AttentionDistillation, distil_style
from ..techniques.ddim_inversion import inversion_grid, invert
from ..techniques.identity_guard import IdentityGuard
from ..techniques.latent_adain import latent_adain
from ..techniques.latent_masks import cell_mask
from ..techniques.query_preserving import QueryPreserving, transfer_style
from ..techniques.shapes import as_mask

HOSTS = ("query-preserving", "attention distillation")


class VisageLatentAdaIN(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLatentAdaIN",
            display_name="Latent AdaIN",
            category="Visage",
            description="Gives a latent the colours and contrast of another one: each channel "
            "takes the mean and spread of the style's (adaptive instance normalisation). A quick "
            "colour match before sampling, or after it.",
            inputs=[
                io.Latent.Input("content", tooltip="The latent that changes."),
                io.Latent.Input(
                    "style",
                    tooltip="The latent whose statistics it takes, of any size: one for all, or "
                    "one for each content.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the content goes: 0 leaves it as it is, bit for bit.",
                ),
                io.Mask.Input(
                    "content_mask",
                    optional=True,
                    tooltip="What is measured and changed, at the content picture's size, soft or "
                    "hard; everything when nothing is connected.",
                ),
                io.Mask.Input(
                    "style_mask",
                    optional=True,
                    tooltip="What is measured of the style, at the style picture's size: mask out "
                    "a face to keep its colours away.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The content in the style's colours, for a sampler or VAE Decode.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, content, style, strength: float, content_mask=None, style_mask=None
    ) -> io.NodeOutput:
        samples = latent_adain(
            content["samples"],
            style["samples"],
            strength,
            _cells(content_mask, content["samples"], "content_mask"),
            _cells(style_mask, style["samples"], "style_mask"),
        )
        return io.NodeOutput({**content, "samples": samples})


class VisageStyleTransfer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleTransfer",
            display_name="Style Transfer",
            category="Visage",
            description="Paints the content in the style of a picture, without training: the "
            "model's self-attention looks at the style where it would look at the picture itself. "
            "Put an Identity Guard on the model to keep the person. Finish with VAE Decode.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that paints; with an Identity Guard on it, faces are kept.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt of all passes: usually the empty one, from CLIP Text "
                    "Encode.",
                ),
                io.Latent.Input("content", tooltip="The picture to restyle, from VAE Encode."),
                io.Latent.Input(
                    "style",
                    tooltip="The picture whose style it takes, from VAE Encode, of any size: one "
                    "for all, or one for each content.",
                ),
                io.Combo.Input(
                    "host",
                    options=list(HOSTS),
                    default=HOSTS[0],
                    tooltip="query-preserving (StyleID): inverts both pictures and samples once; "
                    "needs no gradients, so runs wherever sampling runs. attention distillation: "
                    "optimises the latent, takes more style, and needs about as much memory as "
                    "training.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=500,
                    tooltip="Steps of sampling or of optimising. 50 is StyleID's, 200 attention "
                    "distillation's.",
                ),
                io.Int.Input(
                    "inversion_steps",
                    default=100,
                    min=50,
                    max=999,
                    tooltip="query-preserving: how finely both pictures are inverted, in steps for "
                    "the whole schedule; rounded up so that every step is among them.",
                ),
                io.Float.Input(
                    "gamma",
                    default=0.75,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="query-preserving: how much of the content's queries is kept. 0.75 is "
                    "the paper's, 0.3 takes much style and little layout.",
                ),
                io.Float.Input(
                    "temperature",
                    default=1.5,
                    min=0.5,
                    max=4.0,
                    step=0.1,
                    tooltip="query-preserving: sharpness of the attention to the style; 1.5 makes "
                    "up for the blur of mixed queries.",
                ),
                io.Float.Input(
                    "adain",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="query-preserving: how far the run starts from the style's colours "
                    "and contrast.",
                ),
                io.Float.Input(
                    "content_weight",
                    default=0.25,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="attention distillation: weight of the content against the style; 0.26 "
                    "for faces, 0.2 for sketches.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.05,
                    min=0.001,
                    max=1.0,
                    step=0.005,
                    tooltip="attention distillation: how far one step goes.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The content in the style, for VAE Decode.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, content, style, host: str, steps: int, inversion_steps: int,
        gamma: float, temperature: float, adain: float, content_weight: float,
        learning_rate: float,
    ) -> io.NodeOutput:  # fmt: skip
        pictures, styles = _pictures(content["samples"], style["samples"])
        scaled = [model.model.process_latent_in(part) for part in (pictures, styles)]
        guard = guard_of(model)
        if guard is not None:
            guard.require_fit(pictures.shape)
        if host == HOSTS[0]:
            settings = QueryPreserving(gamma, temperature, adain)
            result = _transfer(model, positive, *scaled, steps, inversion_steps, settings, guard)
        else:
            settings = AttentionDistillation(steps, content_weight, learning_rate)
            result = _distil(model, positive, *scaled, settings, guard)
        samples = model.model.process_latent_out(result).to(pictures)
        return io.NodeOutput({**content, "samples": samples})


def _pictures(content: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Both latents, one content repeated for several styles. Raises ValueError naming both."""
    for name, latent in (("content", content), ("style", style)):
        if latent.ndim != 4 or latent.shape[1] != 4:
            raise ValueError(
                f"The {name}'s latent is {list(latent.shape)}; Style Transfer works on latents of "
                "Stable Diffusion 1, 2 and XL, [batch, 4, height, width]."
            )
    batch = max(len(content), len(style))
    if len(content) not in (1, batch) or len(style) not in (1, batch):
        raise ValueError(
            f"There are {len(content)} contents {list(content.shape)} and {len(style)} styles "
            f"{list(style.shape)}. Give one style, or one for each content."
        )
    return content.expand(batch, -1, -1, -1), style


def _transfer(
    model: ModelPatcher, prompt, content: Tensor, style: Tensor, steps: int, inversion_steps: int,
    settings: QueryPreserving, guard: IdentityGuard | None,
) -> Tensor:  # fmt: skip
    with ComfyUIRun(model, content.shape) as run, ComfyUIRun(model, style.shape) as style_run:
        branch, style_branch = run.branch([prompt]), style_run.branch([prompt])
        inverting = len(inversion_grid(steps, inversion_steps, len(run.alphas)))
        show = _progress(model, 2 * inverting + steps)
        trajectories = []
        for start, (latent, own) in zip(
            (0, inverting), ((content, branch), (style, style_branch)), strict=True
        ):
            trajectories.append(
                invert(
                    latent, own, run.alphas, steps, inversion_steps,
                    lambda step, clean, start=start: show(start + step, clean),
                )
            )  # fmt: skip
        return transfer_style(
            *trajectories, branch, style_branch, run.alphas, run.attention_layers, settings, guard,
            lambda step, clean: show(2 * inverting + step, clean),
        )  # fmt: skip


def _distil(
    model: ModelPatcher, prompt, content: Tensor, style: Tensor, settings: AttentionDistillation,
    guard: IdentityGuard | None,
) -> Tensor:  # fmt: skip
    with torch.inference_mode(False):
        copied, prompt = private_copy(model), ordinary(prompt)
        use_checkpointing(copied.model.diffusion_model)
        with ComfyUIRun(copied, content.shape) as run, ComfyUIRun(copied, style.shape) as other:
            # Values of inference mode cannot be saved for a gradient.
            pictures = [part.clone().to(copied.load_device) for part in (content, style)]
            return distil_style(
                *pictures, run.branch([prompt]), other.branch([prompt]), run.alphas,
                run.attention_layers, settings, guard, _progress(model, settings.steps),
            )  # fmt: skip


def _progress(model: ModelPatcher, total: int):
    """Progress bar with previews, as ComfyUI's samplers show them."""
    show = latent_preview.prepare_callback(model, total)
    return lambda step, clean: show(step, clean, None, total)


def _cells(mask: Tensor | None, latent: Tensor, name: str) -> Tensor | None:
    """A mask at the latent's size, [B, 1, h, w]."""
    return None if mask is None else cell_mask(as_mask(mask, name), *latent.shape[-2:], name)


NODES: list[type[io.ComfyNode]] = [VisageLatentAdaIN, VisageStyleTransfer]
