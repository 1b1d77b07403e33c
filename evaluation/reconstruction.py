"""How well the autoencoder reconstructs pictures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..diffusion.interface import Engine
from .held_out import SIZE, as_batch, held_out

# Colour photographs of scikit-image that the recipe does not train on.
HELD_OUT_PHOTOGRAPHS = ("astronaut", "coffee")


def vae_figures(engine: Engine, count: int) -> dict[str, float]:
    """Mean PSNR in dB of encoding and decoding portraits and pieces of photographs, 128 px."""
    faces = [picture.image for picture in held_out(range(count))]
    return {
        "vae_psnr_faces": _mean_psnr(engine, faces),
        "vae_psnr_photos": _mean_psnr(engine, _pieces_of_photographs()),
    }


def _pieces_of_photographs() -> list[np.ndarray]:
    import skimage.data

    pieces = []
    for name in HELD_OUT_PHOTOGRAPHS:
        picture = getattr(skimage.data, name)()
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        rows, columns = (range(0, side - SIZE + 1, SIZE // 2) for side in picture.shape[:2])
        pieces += [picture[y : y + SIZE, x : x + SIZE] for y in rows for x in columns]
    return pieces


def _mean_psnr(engine: Engine, pictures: list[np.ndarray]) -> float:
    images = (as_batch([picture]) for picture in pictures)
    return float(np.mean([_psnr(engine.decode(engine.encode(image)), image) for image in images]))


def _psnr(first: Tensor, second: Tensor) -> float:
    return float(-10 * torch.log10((first.clamp(0, 1) - second).square().mean()))
