"""UPSCALE_MODEL: networks that enlarge pictures, as ComfyUI's own loader gives them.

Importable only inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.utils
from torch import Tensor

TILE, MIN_TILE, OVERLAP = 512, 128, 32
# ComfyUI's estimate of the memory for such a network's features, per pixel of the result's side.
FEATURES = 384


@contextmanager
def upscaler(model: Any) -> Iterator[Callable[[Tensor], Tensor]]:
    """Bring an UPSCALE_MODEL to the device and give what enlarges pictures [B, h, w, 3] in 0..1 by
    its factor, tile by tile; tiles get smaller where memory runs short.

    Raises ValueError for a model that does not take RGB pictures.
    """
    channels = getattr(model, "input_channels", 3), getattr(model, "output_channels", 3)
    if channels != (3, 3):
        raise ValueError(
            f"The upscale model takes {channels[0]} channels and gives {channels[1]}; restoring "
            "faces needs one for RGB pictures, such as RealESRGAN_x4plus."
        )
    management = comfy.model_management
    device = management.get_torch_device()
    features = TILE * TILE * 3 * 4 * max(model.scale, 1) * FEATURES
    management.free_memory(management.module_size(model.model) + features, device)
    model.to(device)

    def enlarge(image: Tensor) -> Tensor:
        pixels = image.movedim(-1, 1).to(device)
        enlarged = _tiled(model, pixels, TILE)
        return enlarged.movedim(1, -1).to(image.device)

    try:
        yield enlarge
    finally:
        model.to("cpu")


def _tiled(model: Any, pixels: Tensor, tile: int) -> Tensor:
    def run(part: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return model(part)

    while True:
        try:
            return comfy.utils.tiled_scale(
                pixels,
                run,
                tile_x=tile,
                tile_y=tile,
                overlap=OVERLAP,
                upscale_amount=model.scale,
            )
        except comfy.model_management.OOM_EXCEPTION:
            tile //= 2
            if tile < MIN_TILE:
                raise
