"""How well the face embedder distinguishes held-out people.

Two pictures count as one person when the cosine of their vectors is above a threshold, which is
chosen on other people (split "validation") than those it is tested on (split "test"). Faces are
aligned by the renderer's landmarks, so that the figures depend on the embedder alone.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ..models.face_embedder import FaceEmbedder, align_faces
from ..world import STYLES, portrait
from ..world.portrait import PEOPLE_PER_BLOCK, PORTRAITS_PER_PERSON
from ..world.styles import stylise

SIZE = 128
PICTURES = 5
"""Number of pictures of each person, which make ten pairs."""


def portraits_of(person: int, count: int = PICTURES) -> list[int]:
    """Indices of `count` portraits (at most 8) of the split's person number `person`."""
    block, place = divmod(person, PEOPLE_PER_BLOCK)
    first = block * PEOPLE_PER_BLOCK * PORTRAITS_PER_PERSON + place
    return [first + k * PEOPLE_PER_BLOCK for k in range(count)]


def _vectors(embedder: FaceEmbedder, people: int, split: str) -> tuple[Tensor, Tensor]:
    """Vectors [people, 5, D] of photograph-like portraits, and of the same ones painted."""
    photographs, paintings = [], []
    for person in range(people):
        shown = [portrait(i, SIZE, split, style="photo") for i in portraits_of(person)]
        painted = [
            stylise(p.image, STYLES[1 + (person + k) % (len(STYLES) - 1)], person * PICTURES + k)
            for k, p in enumerate(shown)
        ]
        for found, images in ((photographs, [p.image for p in shown]), (paintings, painted)):
            faces = [_aligned(i, p.landmarks) for i, p in zip(images, shown, strict=True)]
            found.append(embedder.embed(torch.cat(faces)))
    return torch.stack(photographs), torch.stack(paintings)


def _aligned(image: np.ndarray, landmarks: np.ndarray) -> Tensor:
    # Landmarks count from the border, align_faces from the middle of the first pixel.
    points = torch.from_numpy(landmarks)[None] - 0.5
    return align_faces(torch.from_numpy(image).float() / 255, points)


def pair_cosines(first: Tensor, second: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Cosines of pairs of one person and of as many pairs of two, from vectors [people, K, D].

    The pairs of one person are all pairs of different pictures, one from each side. Those of two
    people are drawn at random.
    """
    pairs = list(combinations(range(first.shape[1]), 2))
    left, right = (list(side) for side in zip(*pairs, strict=True))
    same = (first[:, left] * second[:, right]).sum(-1).flatten()
    rng = np.random.default_rng([seed, len(first)])
    people = len(first)
    one = rng.integers(people, size=len(same))
    other = (one + rng.integers(1, people, size=len(same))) % people
    pictures = rng.integers(first.shape[1], size=(2, len(same)))
    different = (first[one, pictures[0]] * second[other, pictures[1]]).sum(-1)
    return same, different


def best_threshold(same: Tensor, different: Tensor) -> float:
    """The cosine that separates the two best, halfway between its neighbours."""
    cosines, order = torch.cat([same, different]).sort()
    truth = torch.cat([torch.ones_like(same), torch.zeros_like(different)])[order]
    # Cosines below a threshold count as two people, those above it as one person.
    right = torch.cat([torch.zeros(1), (1 - 2 * truth).cumsum(0)])
    cut = int(right.argmax())
    low, high = cosines[max(cut - 1, 0)], cosines[min(cut, len(cosines) - 1)]
    return float((low + high) / 2)


def accuracy(same: Tensor, different: Tensor, threshold: float) -> float:
    """Balanced accuracy: the mean of the fractions of either kind that are right."""
    found, refused = (same > threshold).float().mean(), (different <= threshold).float().mean()
    return float((found + refused) / 2)


@torch.inference_mode()
def embedder_figures(embedder: FaceEmbedder, count: int) -> dict[str, float]:
    """Verification accuracy over `20 * count` pairs of `count` people: 300 make 6,000.

    `embedder_accuracy` compares photograph-like portraits, `embedder_cross_style_accuracy` such a
    portrait with a painting in one of the seven other styles. Each has a threshold of its own, from
    as many other pairs of its kind.
    """
    chosen, judged = (_vectors(embedder, count, split) for split in ("validation", "test"))
    figures = {}
    for name, second in (("embedder_accuracy", 0), ("embedder_cross_style_accuracy", 1)):
        threshold = best_threshold(*pair_cosines(chosen[0], chosen[second]))
        figures[name] = accuracy(*pair_cosines(judged[0], judged[second]), threshold)
    return figures
