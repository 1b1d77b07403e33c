"""CIE 1976 L*a*b* of sRGB pictures: equal distances look about equally different.

IEC 61966-2-1 (sRGB) and CIE 15 (L*a*b*), white point D65.
"""

import torch
from torch import Tensor

RGB_TO_XYZ = torch.tensor(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    dtype=torch.float64,
)
# Divided by the white point, so that white has X = Y = Z = 1 and exactly no colour.
RGB_TO_RELATIVE_XYZ = (RGB_TO_XYZ / RGB_TO_XYZ.sum(1, keepdim=True)).float()
RELATIVE_XYZ_TO_RGB = torch.linalg.inv(RGB_TO_RELATIVE_XYZ.double()).float()
KNEE = 6 / 29


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB [..., 3] in 0..1 to L* in 0..100, a* and b* about -128..127."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    relative = linear @ RGB_TO_RELATIVE_XYZ.T.to(rgb)
    root = torch.where(
        relative > KNEE**3,
        relative.clamp(min=KNEE**3) ** (1 / 3),
        relative / (3 * KNEE**2) + 4 / 29,
    )
    x, y, z = root.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """L*a*b* [..., 3] to sRGB; colours that sRGB does not have are clipped to 0..1."""
    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], -1)
    relative = torch.where(root > KNEE, root**3, 3 * KNEE**2 * (root - 4 / 29))
    linear = relative @ RELATIVE_XYZ_TO_RGB.T.to(lab)
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved).clamp(0, 1)


def weighted_moments(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted mean and standard deviation of each channel of a picture [H, W, 3].

    weight: [H, W, 1], not 0 everywhere.
    """
    mean = (values * weight).sum((0, 1)) / weight.sum()
    return mean, ((values - mean).square() * weight).sum((0, 1)).div(weight.sum()).sqrt()
