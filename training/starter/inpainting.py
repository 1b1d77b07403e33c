"""Examples for inpainting: random views with masks of many shapes, encoded once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...models.face_classes import CLASSES, PRESETS
from ...techniques.soft_inpaint import inpaint_condition
from .augment import mirror_labels
from .dataset import PortraitSet
from .networks import LATENT_SCALE

PARTS = {
    name: np.array([CLASSES.index(part) for part in PRESETS[name]])
    for name in ("face", "face and hair", "eyes", "lips")
} | {"hair": np.array([CLASSES.index("hair"), CLASSES.index("hat")])}
# Probabilities of the masks' sources; the rest are free shapes.
PART_FRACTIONS = {"face": 0.45, "face and hair": 0.2, "hair": 0.05, "eyes": 0.05, "lips": 0.05}


def random_view(portraits: PortraitSet, index: int, size: int, rng: np.random.Generator):
    """Return a random view [size, size] of a portrait and of its map, sometimes mirrored."""
    image, labels = portraits.images[index], portraits.labels[index]
    side = int(image.shape[0] * rng.uniform(0.72, 1.0))
    top, left = rng.integers(0, image.shape[0] - side + 1, 2)
    image = image[top : top + side, left : left + side]
    labels = labels[top : top + side, left : left + side]
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        return np.ascontiguousarray(image[:, ::-1]), mirror_labels(labels)
    return image, labels


def _free_shape(size: int, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((size, size), np.float32)
    kind = rng.integers(4)
    if kind == 0:
        mask[:] = 1
    elif kind == 1:
        corner, extent = rng.integers(0, size * 3 // 4, 2), rng.integers(size // 6, size, 2)
        mask[corner[0] : corner[0] + extent[0], corner[1] : corner[1] + extent[1]] = 1
    elif kind == 2:
        centre = tuple(int(v) for v in rng.integers(size // 5, size * 4 // 5, 2))
        axes = tuple(int(v) for v in rng.integers(size // 10, size // 2, 2))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    else:
        points = rng.integers(0, size, (int(rng.integers(2, 7)), 1, 2)).astype(np.int32)
        cv2.polylines(mask, [points], False, 1, int(rng.integers(size // 20, size // 5)))
    return mask


def random_mask(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mask float32 [S, S]: parts of the face grown and softened, or a free shape.

    Growth and softness scale with the size; the numbers are for 128 px.
    """
    size = labels.shape[0]
    draw, mask = rng.random(), None
    for name, fraction in PART_FRACTIONS.items():
        draw -= fraction
        if draw < 0:
            mask = np.isin(labels, PARTS[name]).astype(np.float32)
            break
    if mask is None or mask.sum() < 8:
        mask = _free_shape(size, rng)
    grow = round(int(rng.integers(0, 6)) * size / 128)
    if grow:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        mask = cv2.dilate(mask, kernel)
    if rng.random() < 0.75:
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 5)) * size / 128)
    return mask.clip(0, 1)


@dataclass(frozen=True)
class LatentSet:
    """Examples at latent size: latents [N, 4, h, w], concat [N, 5, h, w], portrait [N]."""

    latents: Tensor
    concat: Tensor
    portrait: Tensor

    def state(self) -> dict[str, Tensor]:
        return {"latents": self.latents, "concat": self.concat, "portrait": self.portrait}


def encoder_digest(vae) -> str:
    """Return a hash of the encoder's weights."""
    digest = hashlib.sha256()
    for part in (vae.encoder, vae.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def encode_examples(
    vae, portraits: PortraitSet, size: int, variants: int, seed: int, path: Path
) -> LatentSet:
    """Encode `variants` views of every portrait with a mask each; the result is kept in `path`.

    A file of another autoencoder or number of views is replaced.
    """
    made_from = f"{variants} views, autoencoder {encoder_digest(vae)}"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        if kept.pop("made_from", None) == made_from:
            return LatentSet(**kept)

    def encode(image: Tensor) -> Tensor:
        pixels = (image * 2 - 1).movedim(-1, 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            return vae.encode(pixels).latent_dist.mode().float()

    latents, concats, owners = [], [], []
    order = [index for _ in range(variants) for index in range(len(portraits.images))]
    for start in tqdm(range(0, len(order), 32), desc="encode examples", mininterval=5):
        rng = np.random.default_rng([seed, 4, start])
        views, masks = [], []
        for index in order[start : start + 32]:
            view, labels = random_view(portraits, index, size, rng)
            views.append(view)
            masks.append(random_mask(labels, rng))
        image = torch.from_numpy(np.stack(views)).float() / 255
        condition = inpaint_condition(
            image, torch.from_numpy(np.stack(masks)), encode, LATENT_SCALE
        )
        latents.append((condition.latent * LATENT_SCALE).half())
        concats.append(condition.concat.half())
        owners.append(torch.tensor(order[start : start + 32]))
    examples = LatentSet(torch.cat(latents), torch.cat(concats), torch.cat(owners))
    temporary = path.with_suffix(".part")
    torch.save({**examples.state(), "made_from": made_from}, temporary)
    os.replace(temporary, path)
    return examples
