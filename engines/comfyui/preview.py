"""Progress on the canvas with a picture of what there is so far, as ComfyUI's samplers show it."""

from __future__ import annotations

from collections.abc import Callable

import latent_preview
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .stages import tell_stages


def preview_progress(
    model: ModelPatcher, stages: list[tuple[str, int]]
) -> Callable[[int, Tensor], None]:
    """A function (step, clean latent so far) that moves the running node's bar and previews.

    stages: what the node does, (name, steps) each; step counts through all of them.
    """
    total = sum(steps for _, steps in stages)
    tell_stages(stages)
    show = latent_preview.prepare_callback(model, total)
    return lambda step, clean: show(step, clean, None, total)
