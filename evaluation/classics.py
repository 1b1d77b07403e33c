"""How much style painted photographs of people gain, and how much of the person they keep.

The person is judged by dlib's face embedding and the style by the starter's image encoder; no
method here optimises either. Faces are aligned by the photograph's landmarks, because detectors
fail on paintings and a painted face is where the photograph's is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..engines.image_encoder import ImageEncoder
from ..models.face_classes import PRESETS
from ..models.face_parser import FaceParser
from ..techniques.face_mask import face_mask
from ..techniques.neural_style import NeuralStyle, StylePicture, neural_style
from ..techniques.optical_flow import warping_error
from ..techniques.patch_painting import PatchPainter
from ..techniques.style_clip import paint_batch
from ..techniques.style_score import cosine_distance
from .photo_faces import FaceJudge

KEPT_PARTS = tuple(PRESETS["face and hair"])


Way = Callable[[Tensor, int, Tensor], Tensor]
"""way(picture [H, W, 3], number of the painting, mask of the person [H, W]) -> painted picture."""


@dataclass
class Row:
    """The figures of one way of painting, a value for each picture.

    style: the fraction of the distance to the style that is covered, outside the face and its
    surroundings; identity: the cosine of the faces' centred embeddings; and dlib's distance.
    """

    style: list[float] = field(default_factory=list)
    identity: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)


def compare(
    photographs: Sequence[np.ndarray],
    paintings: Sequence[Tensor],
    ways: Mapping[str, Way],
    judge: FaceJudge,
    encoder: ImageEncoder,
    parser: FaceParser,
    progress: Callable[[str], None] | None = None,
    each: int = 1,
) -> dict[str, Row]:
    """Return a row for each way, over the photographs [H, W, 3] uint8 in which dlib finds one face.

    Each photograph is painted after `each` of the paintings [h, w, 3], which take turns. Raises
    ValueError when no face is found.
    """
    rows = {name: Row() for name in ways}
    originals, painted_faces = [], {name: [] for name in ways}
    for number, pixels in enumerate(photographs):
        boxes = judge.faces(pixels)
        picture = torch.from_numpy(pixels).float() / 255
        keep = face_mask(picture[None], parser, KEPT_PARTS, soft=True).mask[0]
        if not boxes or float(keep.max()) < 0.5:
            continue
        near = _near(keep)
        for turn in range(each):
            originals.append(judge.embedding(pixels, boxes[0]))
            which = (number * each + turn) % len(paintings)
            wanted = _embedded(encoder, paintings[which])
            before = cosine_distance(_embedded(encoder, picture, near), wanted)
            for name, way in ways.items():
                painted = way(picture, which, keep).clamp(0, 1)
                now = cosine_distance(_embedded(encoder, painted, near), wanted)
                rows[name].style.append(float(1 - now / before))
                eight = (painted * 255).round().byte().numpy()
                painted_faces[name].append(judge.embedding(eight, boxes[0]))
        if progress is not None:
            progress(f"picture {number + 1} of {len(photographs)}")
    if not originals:
        raise ValueError("dlib finds no face in any of the photographs.")
    middle = np.mean(originals, 0)
    for name, faces in painted_faces.items():
        for face, original in zip(faces, originals, strict=True):
            one, two = face - middle, original - middle
            rows[name].identity.append(float(one @ two / np.linalg.norm(one) / np.linalg.norm(two)))
            rows[name].distance.append(float(np.linalg.norm(face - original)))
    return rows


def patches_way(paintings: Sequence[Tensor], settings: NeuralStyle) -> Way:
    """Neural Style by patches; with keep_strength 0 the person's mask is not used."""

    def paint(picture: Tensor, painting: int, keep: Tensor) -> Tensor:
        mask = keep if settings.keep_strength else None
        style = [StylePicture(paintings[painting])]
        return neural_style(picture, style, PatchPainter(), settings, mask).picture

    return paint


def dialled(way: Way, strength: float) -> Way:
    """The same way at another strength, for methods whose strength mixes pictures."""

    def paint(picture: Tensor, painting: int, keep: Tensor) -> Tensor:
        return torch.lerp(picture, way(picture, painting, keep), strength)

    return paint


def at_equal_style(curve: Sequence[Row], style: Sequence[float]) -> list[float]:
    """Each picture's identity at the given style, on a curve of rows.

    The curve is linear between rows and constant beyond its ends.
    """
    result = []
    for number, wanted in enumerate(style):
        points = sorted((row.style[number], row.identity[number]) for row in curve)
        result.append(float(np.interp(wanted, *zip(*points, strict=True))))
    return result


def _near(keep: Tensor) -> Tensor:
    """A mask that is 1 on the person [H, W] and within a patch of the encoder around."""
    reach = max(1, min(keep.shape) // 16)
    seen = (keep[None, None] > 0.05).float()
    return F.max_pool2d(seen, 2 * reach + 1, 1, reach)[0, 0]


def interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval."""
    sample = np.asarray(values, dtype=float)
    picks = np.random.default_rng(0).integers(0, len(sample), (draws, len(sample)))
    low, high = np.percentile(sample[picks].mean(1), [2.5, 97.5])
    return float(sample.mean()), float(low), float(high)


def moving_clip(picture: Tensor, size: int, frames: int, step: int = 3) -> Tensor:
    """A clip [frames, size, size, 3]: a window that moves `step` px a frame over a picture
    [H, W, 3], with new camera grain in every frame."""
    generator = torch.Generator().manual_seed(0)
    windows = [
        picture[number : number + size, number * step : number * step + size]
        for number in range(frames)
    ]
    clip = torch.stack(windows)
    return (clip + 0.01 * torch.randn(clip.shape, generator=generator)).clamp(0, 1)


def flicker(clip: Tensor, painting: Tensor, settings: NeuralStyle) -> dict[str, float]:
    """Warping errors of a clip [B, H, W, 3] painted as a clip and by frames, over its own."""
    styles = [StylePicture(painting)]
    as_clip, _ = paint_batch(clip, styles, PatchPainter(), settings)
    single, _ = paint_batch(clip, styles, PatchPainter(), settings, is_clip=False)
    return flicker_ratios(clip, as_clip, single)


def flicker_ratios(clip: Tensor, as_clip: Tensor, single: Tensor) -> dict[str, float]:
    """Warping errors of two paintings of a clip [B, H, W, 3], divided by the clip's own."""
    own = warping_error(clip, clip)
    return {
        "flicker_ratio": warping_error(as_clip, clip) / own,
        "flicker_ratio_frame_by_frame": warping_error(single, clip) / own,
    }


def _embedded(encoder: ImageEncoder, picture: Tensor, masked: Tensor | None = None) -> Tensor:
    """The embedding of a picture [H, W, 3] without what is masked [H, W]."""
    hidden = None if masked is None else (masked > 0.5).float()
    return encoder.features(picture[None], hidden, crop=False)["image_embeds"][0]
