"""Style Transfer on a ComfyUI model: both of its hosts, from latents to a latent."""

from __future__ import annotations

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...techniques.attention_distillation import AttentionDistillation, distil_style
from ...techniques.identity_guard import IdentityGuard
from ...techniques.query_preserving import QueryPreserving
from ...techniques.restyling import inverting_steps, transfer_latents
from .branches import ComfyUIRun
from .gradients import ordinary, private_copy, use_checkpointing
from .guard import guard_of
from .inpaint_conditioning import Conditioning
from .preview import preview_progress


def restyle_latent(
    model: ModelPatcher,
    prompt: Conditioning,
    content: Tensor,
    style: Tensor,
    settings: QueryPreserving | AttentionDistillation,
    steps: int,
    inversion_steps: int,
) -> Tensor:
    """The content's latent [B, 4, h, w] in the style of another, as the settings' method paints it.

    Raises ValueError for latents or a guard of other shapes.
    """
    content, style = _pictures(content, style)
    guard = guard_of(model)
    if guard is not None:
        guard.require_fit(content.shape)
    if isinstance(settings, AttentionDistillation):
        return _distil(model, prompt, content, style, settings, guard)
    with ComfyUIRun(model, content.shape) as run, ComfyUIRun(model, style.shape) as style_run:
        inverting = inverting_steps(run, steps, inversion_steps)
        stages = [
            ("inverting the picture", inverting), ("inverting the style", inverting),
            ("painting", steps),
        ]  # fmt: skip
        return transfer_latents(
            run, style_run, content, style, prompt, steps, inversion_steps, settings,
            preview_progress(model, stages), guard,
        )  # fmt: skip


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


def _distil(
    model: ModelPatcher,
    prompt: Conditioning,
    content: Tensor,
    style: Tensor,
    settings: AttentionDistillation,
    guard: IdentityGuard | None,
) -> Tensor:
    with torch.inference_mode(False):
        copied, prompt = private_copy(model), ordinary(prompt)
        use_checkpointing(copied.model.diffusion_model)
        with ComfyUIRun(copied, content.shape) as run, ComfyUIRun(copied, style.shape) as other:
            # Values of inference mode cannot be saved for a gradient.
            pictures = [
                run.into_model(part).clone().to(copied.load_device) for part in (content, style)
            ]
            result = distil_style(
                *pictures, run.branch([prompt]), other.branch([prompt]), run.alphas,
                run.attention_layers, settings, guard,
                preview_progress(model, [("painting", settings.steps)]),
            )  # fmt: skip
            return run.out_of_model(result).to(content)
