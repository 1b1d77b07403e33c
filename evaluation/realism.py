"""How real painted faces look: the Frechet distance in a face embedder's feature space.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
equation 6, with face embeddings instead of Inception's features. The distance between two finite
samples of one distribution is not 0, so the figure is the ratio to such a distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..models.face_embedder import FaceEmbedder, align_faces
from ..world import portrait
from .editing import Editor
from .held_out import held_out

Features = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray]
"""features(pictures uint8 [H, W, 3], their landmarks [5, 2]) -> vectors [N, d]."""


def features_of(embedder: FaceEmbedder) -> Features:
    """The embedder's vectors of aligned faces."""

    @torch.inference_mode()
    def features(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> np.ndarray:
        faces = [
            # The renderer counts from the border, align_faces from the middle of the first pixel.
            align_faces(torch.from_numpy(image).float() / 255, torch.from_numpy(points)[None] - 0.5)
            for image, points in zip(images, landmarks, strict=True)
        ]
        return embedder.embed(torch.cat(faces)).numpy()

    return features


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians fitted to features [N, d] and [M, d].

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With centred features X and Y scaled so that
    C1 = X^T X and C2 = Y^T Y, the trace of the root is the sum of the singular values of X Y^T,
    which is exact even with fewer pictures than features. With more pictures, the triangular
    factors of X and Y are used, which have the same products and are smaller.
    Raises ValueError for fewer than two vectors, or for vectors of different length.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"The Frechet distance needs two or more vectors of equal length on each side, "
            f"not {first.shape} and {second.shape}."
        )
    first, second = first.astype(np.float64), second.astype(np.float64)
    means = first.mean(0), second.mean(0)
    centred = [
        (features - mean) / np.sqrt(len(features) - 1)
        for features, mean in zip((first, second), means, strict=True)
    ]
    a, b = (np.asarray(np.linalg.qr(part, mode="r")) for part in centred)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    spread = sum(float(np.square(part).sum()) for part in centred)
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * root)


def realism_ratio(editor: Editor, features: Features, count: int) -> float:
    """Distance of inpainted to held-out faces over that of held-out to training faces.

    Each face is inpainted with one of its own captions and compared with other people's. Each of
    the three sets has `count` pictures.
    """
    references = held_out(range(count))
    painted = held_out(range(count, 2 * count))
    seen = [portrait(number, split="train") for number in range(count)]
    edited = [editor(person, person.captions[0], ("face",)) for person in painted]
    reference, training = (
        features([person.image for person in people], [person.landmarks for person in people])
        for people in (references, seen)
    )
    inpainted = features(edited, [person.landmarks for person in painted])
    return frechet_distance(inpainted, reference) / frechet_distance(reference, training)
