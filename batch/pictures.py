"""Reading and writing pictures in the same way as ComfyUI's Load Image and Save Image."""

from __future__ import annotations

import io
import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..models.picture_files import read_upright
from ..techniques.lanczos import resize

# ComfyUI's level: quick, with files a third larger than the smallest.
COMPRESSION = 4


def read_picture(data: bytes, name: str) -> tuple[Tensor, Tensor]:
    """Read a picture [1, H, W, 3] in 0..1, turned by its EXIF data, and 1 - alpha [1, H, W].

    Without alpha the latter is 64 x 64 zeros. Raises ValueError for contents that are no picture or
    are cut off.
    """
    if not data:
        raise ValueError(f"{name} is empty")
    opened = read_upright(io.BytesIO(data), name)
    image = np.array(opened.convert("RGB"))
    alpha = np.array(opened.getchannel("A")) if "A" in opened.getbands() else None
    picture = torch.from_numpy(image.astype(np.float32) / 255)[None]
    if alpha is None:
        return picture, torch.zeros(1, 64, 64)
    return picture, 1 - torch.from_numpy(alpha.astype(np.float32) / 255)[None]


def as_bytes(image: Tensor) -> np.ndarray:
    """Convert a picture [H, W, C] in 0..1 to uint8, truncated as in ComfyUI, not rounded."""
    return np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)


def write_png(image: np.ndarray, prompt: dict) -> bytes:
    """Make a PNG file of a picture uint8 [H, W, C] that holds the workflow for the canvas."""
    info = PngInfo()
    info.add_text("prompt", json.dumps(prompt))
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return file.getvalue()


def scale(image: Tensor, method: str, width: int, height: int, crop: str) -> Tensor:
    """Pictures [B, H, W, C] resized as by ComfyUI's Upscale Image; 0 for one side keeps the ratio.

    crop is "disabled" or "center". Raises ValueError for an unknown method.
    """
    old_height, old_width = image.shape[1:3]
    if width == 0 and height == 0:
        return image
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    if crop == "center":
        x, y = 0, 0
        if old_width / old_height > width / height:
            x = round((old_width - old_width * (width / height) / (old_width / old_height)) / 2)
        else:
            y = round((old_height - old_height * (old_width / old_height) / (width / height)) / 2)
        image = image[:, y : old_height - y, x : old_width - x]
    if method == "lanczos":
        return _lanczos(image, height, width)
    if method not in ("nearest-exact", "bilinear", "area", "bicubic"):
        raise ValueError(f"unknown method {method!r} to resize a picture")
    return F.interpolate(image.movedim(-1, 1), (height, width), mode=method).movedim(1, -1)


def _lanczos(image: Tensor, height: int, width: int) -> Tensor:
    # ComfyUI resizes pictures of 8 bits here.
    return (resize((image * 255).floor() / 255, height, width) * 255).round() / 255
