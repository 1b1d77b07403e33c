"""Colours of one picture given to another, and a picture's own colours kept.

Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), section 5: mean
and covariance of the RGB values are matched, or the luminance alone is changed (in YIQ).
"""

from __future__ import annotations

import torch
from torch import Tensor

COLOUR_MODES = ("as the style", "keep the picture's", "luminance only")
RGB_TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=torch.float64
)
MIN_VARIANCE = 1e-5


def match_colours(picture: Tensor, like: Tensor) -> Tensor:
    """A picture [..., 3] with the mean and covariance of the colours of another one [..., 3].

    x' = A (x - mu) + mu_s with A = S^-1/2 (S^1/2 S_s S^1/2)^1/2 S^-1/2: of all linear maps with
    these moments the one that moves the colours least. Clipped to 0..1.
    """
    colours, others = (part.reshape(-1, 3).double() for part in (picture, like))
    mean, other_mean = colours.mean(0), others.mean(0)
    spread, other_spread = _covariance(colours - mean), _covariance(others - other_mean)
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    change = inverse @ _power(root @ other_spread @ root, 0.5) @ inverse
    matched = (colours - mean) @ change + other_mean
    return matched.clamp(0, 1).view(picture.shape).to(picture)


def luminance(picture: Tensor) -> Tensor:
    """The Y of YIQ [...] of a picture [..., 3]."""
    return picture @ RGB_TO_YIQ[0].to(picture)


def as_grey(picture: Tensor, like: Tensor | None = None) -> Tensor:
    """A picture [..., 3] in grey, with mean and deviation of another one's luminance if given."""
    grey = luminance(picture)
    if like is not None:
        wanted = luminance(like)
        grey = (grey - grey.mean()) * (wanted.std() / grey.std().clamp(min=1e-4)) + wanted.mean()
    return grey.clamp(0, 1).unsqueeze(-1).expand(*grey.shape, 3)


def with_luminance(picture: Tensor, lightness: Tensor) -> Tensor:
    """A picture [..., 3] with another luminance [...] and its own I and Q."""
    return (picture + (lightness - luminance(picture)).unsqueeze(-1)).clamp(0, 1)


def _covariance(centred: Tensor) -> Tensor:
    return centred.T @ centred / len(centred) + MIN_VARIANCE * torch.eye(3).to(centred)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=1e-12) ** exponent @ vectors.T
