"""A portrait from words alone: inpainting of a picture that is masked everywhere."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..diffusion.interface import Engine
from .face_edit import FaceEditSettings, inpaint

GREY = 0.5


@torch.inference_mode()
def paint_portrait(
    prompt: str,
    engine: Engine,
    seed: int,
    guidance: float = 3.0,
    steps: int = 30,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """A picture [1, S, S, 3] in 0..1 as the prompt says; S is the model's own size.

    engine runs an inpainting model. Of seed the last 64 bits count. At the default guidance the
    starter does not overdo what a prompt names. progress(done, steps) is called after every
    sampling step. Raises ValueError for steps below 1.
    """
    side = engine.native_size
    positive, negative = engine.encode_text([prompt, ""]).split(1)
    settings = FaceEditSettings(seed=seed, guidance=guidance, steps=steps)
    image, mask = torch.full((1, side, side, 3), GREY), torch.ones(1, side, side)
    return inpaint(image, mask, positive, negative, engine, settings, progress)
