"""How close a picture is to a style picture, in textures and in colours.

Textures are compared by Gram matrices of VGG-19 features or by an image encoder's embedding,
colours by the distribution of pixels in CIE Lab.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .lab import rgb_to_lab

Extractor = Callable[[Tensor], list[Tensor] | Tensor]
"""From a picture [H, W, 3] to its Gram matrices [C, C], or to its embedding [D]."""


def gram_matrices(features: Sequence[Tensor], mask: Tensor | None = None) -> list[Tensor]:
    """Gram matrices [C, C] over C H W of one picture's features [1, C, H, W] (Gatys et al.,
    "Image Style Transfer Using Convolutional Neural Networks", equation 3).

    With a mask [1, H, W] of the picture each place counts as far as the mask covers it.
    """
    matrices = []
    for feature in features:
        flat = feature[0].flatten(1).double()
        covered = torch.ones_like(flat[0])
        if mask is not None:
            covered = F.interpolate(mask[None], feature.shape[2:], mode="area").flatten().double()
        matrices.append((flat * covered) @ flat.T / (len(flat) * covered.sum()))
    return matrices


def gram_distance(own: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Mean relative difference of Gram matrices: 0 for the style itself, about 1 for an unrelated
    one.
    """
    pairs = zip(own, other, strict=True)
    differences = [float((one - two).norm() / two.norm()) for one, two in pairs]
    return sum(differences) / len(differences)


def cosine_distance(own: Tensor, other: Tensor) -> float:
    """1 minus the cosine of two embeddings [D]. Raises ValueError for two lengths."""
    if own.shape != other.shape:
        raise ValueError(
            f"Embeddings of {own.numel()} and of {other.numel()} numbers cannot be compared: two "
            "image encoders made them."
        )
    return 1 - float(F.cosine_similarity(own.double(), other.double(), dim=0))


def colour_statistics(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [3] and covariance [3, 3] of the Lab values of all pixels of pictures [B, H, W, 3]."""
    lab = rgb_to_lab(pictures.float()).reshape(-1, 3).double()
    mean = lab.mean(0)
    centred = lab - mean
    return mean, centred.T @ centred / len(lab)


def colour_distance(own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """How far apart two distributions of colours are, in units of Lab (2 or 3 are just visible).

    The 2-Wasserstein distance of normal distributions (Olkin and Pukelsheim, "The Distance between
    Two Random Vectors with Given Dispersion Matrices").
    """
    (mean, spread), (other_mean, other_spread) = own, other
    root = _root(spread)
    shared = _root(root @ other_spread @ root)
    apart = (mean - other_mean).square().sum()
    apart = apart + torch.trace(spread) + torch.trace(other_spread) - 2 * torch.trace(shared)
    return float(apart.clamp(min=0).sqrt())


def _root(matrix: Tensor) -> Tensor:
    """The square root of a positive semidefinite matrix; negative eigenvalues from rounding count
    as 0.
    """
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


class StyleJudge:
    """Distances of pictures from one style, which is looked at once.

    styles [B, H, W, 3] are pictures of one style, taken together; `extract` makes Gram matrices
    or an embedding of one picture [H, W, 3].
    """

    def __init__(self, extract: Extractor, styles: Tensor) -> None:
        self.extract = extract
        own = [extract(picture) for picture in styles]
        if isinstance(own[0], list):
            self.texture = [torch.stack(level).mean(0) for level in zip(*own, strict=True)]
        else:
            self.texture = torch.stack(own).mean(0)
        self.colours = colour_statistics(styles)

    def distances(self, picture: Tensor) -> tuple[float, float]:
        """Distances (textures, colours) of a picture [H, W, 3] from the style."""
        own = self.extract(picture)
        measure = gram_distance if isinstance(own, list) else cosine_distance
        colour = colour_distance(colour_statistics(picture[None]), self.colours)
        return measure(own, self.texture), colour


@dataclass(frozen=True)
class StyleScores:
    """Scores of pictures against one style: the part of the way to it, and colour distances."""

    styles: list[float]
    colours: list[float]
    lines: list[str]

    @property
    def style(self) -> float:
        return sum(self.styles) / len(self.styles)

    @property
    def colour(self) -> float:
        return sum(self.colours) / len(self.colours)


def score_styles(
    pictures: Tensor,
    judge: StyleJudge,
    originals: Tensor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> StyleScores:
    """Score pictures [B, H, W, 3], each from its original [B, H, W, 3] where there are any.

    Raises ValueError where an original already has the style.
    """
    scores = StyleScores([], [], [])
    for number, picture in enumerate(pictures):
        progress(number, len(pictures))
        distance, colour = judge.distances(picture)
        start = None if originals is None else judge.distances(originals[number])
        style = style_score(distance, start[0] if start else None)
        was = f" (the original's: {start[1]:.1f})" if start else ""
        scores.styles.append(style)
        scores.colours.append(colour)
        scores.lines.append(
            f"picture {number}: style {style:.3f}, colour distance {colour:.1f}{was}"
        )
    progress(len(pictures), len(pictures))
    return scores


def style_score(distance: float, from_original: float | None = None) -> float:
    """1 for the style itself, 0 for no change towards it, below 0 for a change away from it.

    0 is where the original picture stood, at `from_original`; without it, an unrelated picture at
    distance 1. Raises ValueError where the original already has the style.
    """
    if from_original is None:
        return 1 - distance
    if from_original < 1e-6:
        raise ValueError(
            "The original picture is the style picture itself, so there is no way between them. "
            "Connect another original, or none."
        )
    return 1 - distance / from_original
