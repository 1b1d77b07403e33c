"""Soft masks: grow or shrink a mask, then blur it with a Gaussian, in pixels or by faces' sizes.

M_soft = G_sigma * M, eq. 2 of Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting
and Pixel-Level Background Preservation", 2026.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .mask_parts import Rectangle, faces_of, require_boxes
from .shapes import as_mask

# Windows of the blur are at least this long, so that its products stay large enough to be quick.
MIN_BLOCK = 64


def soften(mask: Tensor, sigma: float, grow: int = 0) -> Tensor:
    """The soft mask [B, H, W] of a mask [B, H, W] in 0..1, on the mask's device.

    First the mask grows by `grow` pixels in every direction (a flat disc; negative shrinks it;
    soft masks keep their profile), then it is blurred with a Gaussian of `sigma` pixels. Kernel
    size and border are OpenCV's for float pictures: about 4 sigma to each side, mirrored at the
    border. So the result is exactly 0 further than that from the grown mask. A face cut by the
    border does not shrink from there.

    Raises ValueError for a mask of another shape, a negative or infinite sigma, or NaN.
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}; expected pixels, 0 or more (0 leaves the mask sharp).")
    mask = as_mask(mask)
    if grow > 0:
        mask = _dilate(mask, grow)
    elif grow < 0:
        mask = -_dilate(-mask, -grow)
    return gaussian_blur(mask, sigma).clamp(0, 1).contiguous()


def gaussian_blur(values: Tensor, sigma: float) -> Tensor:
    """Planes [B, H, W] blurred with a Gaussian of `sigma` pixels, mirrored at the border."""
    kernel = _gaussian_kernel(sigma).to(values) if sigma > 0 else values.new_ones(1)
    if len(kernel) == 1:
        return values
    return _convolve_rows(_convolve_rows(values, kernel).mT, kernel).mT


def soften_faces(
    mask: Tensor, sigma: float, grow: float = 0, boxes: list[list[Rectangle]] | None = None
) -> Tensor:
    """The soft mask [B, H, W] of a mask [B, H, W], each face softened by its own size.

    `sigma` and `grow` are percent of a face's size, which is the root of its box's area in pixels,
    so that faces of every size and pictures at every scale get the same look. `boxes` holds for
    each picture one (x, y, width, height) for each face; without it each connected part of the mask
    is a face. Parts that belong to no face take the largest face's size. Where soft edges meet, the
    larger value counts.

    Raises ValueError as `soften` does, and for boxes that do not belong to the masks.
    """
    mask = as_mask(mask)
    if boxes is not None:
        require_boxes(boxes, len(mask))
    pairs = zip(mask, boxes or [None] * len(mask), strict=True)
    return torch.stack([_soften_faces(plane, sigma, grow, own) for plane, own in pairs])


def _soften_faces(mask: Tensor, sigma: float, grow: float, boxes: list[Rectangle] | None) -> Tensor:
    rectangles, owner = faces_of(mask, boxes)
    sizes = [math.sqrt(width * height) for _, _, width, height in rectangles]
    result = torch.zeros_like(mask)
    for number, size in enumerate([max(sizes), *sizes]):
        own = mask * (owner == number)
        if own.any():
            torch.maximum(result, _soften_part(own, size, sigma, grow), out=result)
    return result


def _soften_part(mask: Tensor, size: float, sigma: float, grow: float) -> Tensor:
    """One face's mask [H, W], softened in the window that it can reach."""
    blur, pixels = sigma * size / 100, round(grow * size / 100)
    reach = math.ceil(4 * blur) + max(pixels, 0) + 2
    rows, columns = (
        slice(max(int(line[0]) - reach, 0), int(line[-1]) + reach + 1)
        for line in (mask.amax(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    )
    result = torch.zeros_like(mask)
    result[rows, columns] = soften(mask[rows, columns], blur, pixels)[0]
    return result


def _gaussian_kernel(sigma: float) -> Tensor:
    """G_sigma at whole pixels, normalised, of the size OpenCV gives float pictures."""
    radius = (round(8 * sigma + 1) | 1) // 2
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-distance.square() / (2 * sigma**2))
    return (kernel / kernel.sum()).float()


def _convolve_rows(values: Tensor, kernel: Tensor) -> Tensor:
    """Convolves the last dimension with a symmetric kernel of odd length, mirrored at both ends.

    The row is cut into blocks; each block is the window of inputs it needs times one banded
    matrix. That is a few times quicker than a convolution of a single channel, and equally exact.
    """
    length, radius = values.shape[-1], len(kernel) // 2
    block = min(length, max(2 * radius, MIN_BLOCK))
    blocks = math.ceil(length / block)
    window = block + 2 * radius
    inputs = mirror(torch.arange(-radius, blocks * block + radius), length).to(values.device)
    offset = torch.arange(window)[:, None] - torch.arange(block)
    inside = (offset >= 0) & (offset <= 2 * radius)
    band = kernel[offset.clamp(0, 2 * radius).to(kernel.device)] * inside.to(kernel)
    windows = values[..., inputs].unfold(-1, window, block)
    return (windows @ band).flatten(-2)[..., :length]


def mirror(index: Tensor, length: int) -> Tensor:
    """Folds positions into 0..length-1 by mirroring at the end pixels, as often as it takes."""
    period = max(2 * length - 2, 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)


def _dilate(values: Tensor, radius: int) -> Tensor:
    """Maximum of [B, H, W] over the disc of pixels with dx^2 + dy^2 <= radius^2, exactly.

    The disc is a stack of rows, longer towards its middle. The maximum over a row of any length
    is that of two overlapping spans of 2^k pixels, and those double as the rows get longer: the
    cost grows with the radius, not with the disc's area. Pixels off the picture do not count.
    """
    height, width = values.shape[-2:]
    side = min(radius, width - 1)
    spans = F.pad(values, (side, side), value=-math.inf)
    span = 1
    result = torch.full_like(values, -math.inf)
    for dy in range(radius, -1, -1):
        half = min(math.isqrt(radius**2 - dy**2), side)
        row = 2 * half + 1
        while 2 * span <= row:
            spans = torch.maximum(spans[..., :-span], spans[..., span:])
            span *= 2
        if dy >= height:
            continue
        first, second = side - half, side + half + 1 - span
        highest = torch.maximum(
            spans[..., first : first + width], spans[..., second : second + width]
        )
        below, above = result[:, dy:], result[:, : height - dy]
        torch.maximum(below, highest[:, : height - dy], out=below)
        torch.maximum(above, highest[:, dy:], out=above)
    return result
