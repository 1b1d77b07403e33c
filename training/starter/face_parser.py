"""Stage: the face parser, a narrow BiSeNet that must carry over from renders to photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.bisenet import BiSeNet
from ..loop import AveragedWeights, Run, cosine_rate, descend, train
from .augment import degrade, jitter_colour, mirror_labels
from .dataset import PortraitSet, photographs

IGNORE = 255
IMAGENET_MEAN = np.float32([0.485, 0.456, 0.406])
IMAGENET_STD = np.float32([0.229, 0.224, 0.225])


def _warp(image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator):
    """Turn, scale and shift picture and map alike; what comes in from outside is ignored."""
    side = image.shape[0]
    angle = float(rng.normal(0, 14))
    scale = float(np.exp(rng.normal(0, 0.28))) * size / side
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale)
    matrix[:, 2] += size / 2 - side / 2 + rng.normal(0, 0.10 * size, 2)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.warpAffine(
        image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    labels = cv2.warpAffine(
        labels, matrix, (size, size), flags=cv2.INTER_NEAREST, borderValue=IGNORE
    )
    return image, labels


def _new_background(image, labels, photos, rng: np.random.Generator) -> np.ndarray:
    """Put a photograph behind the person."""
    photo = photos[rng.integers(len(photos))]
    side = int(rng.integers(min(96, *photo.shape[:2]), min(photo.shape[:2]) + 1))
    top = int(rng.integers(0, photo.shape[0] - side + 1))
    left = int(rng.integers(0, photo.shape[1] - side + 1))
    view = photo[top : top + side, left : left + side]
    view = cv2.resize(view, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    matte = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 0.8)[..., None]
    return (image * matte + view * (1 - matte)).astype(np.uint8)


def draw_example(recipe: dict, portraits: PortraitSet, photos, rng: np.random.Generator):
    """Return one picture float32 [S, S, 3] in 0..1 and its label map uint8 [S, S]."""
    size = recipe["input_size"]
    if rng.random() < recipe["photo_negatives"]:
        photo = photos[rng.integers(len(photos))]
        empty = np.zeros(photo.shape[:2], np.uint8)
        image = cv2.resize(
            _new_background(photo, empty, photos, rng), (size, size), interpolation=cv2.INTER_AREA
        )
        labels = np.zeros((size, size), np.uint8)
    else:
        index = int(rng.integers(len(portraits.images)))
        image, labels = portraits.images[index], portraits.labels[index]
        if rng.random() < 0.4:
            image = _new_background(image, labels, photos, rng)
        if rng.random() < 0.5:
            image, labels = np.ascontiguousarray(image[:, ::-1]), mirror_labels(labels)
        image, labels = _warp(image, labels, size, rng)
    picture = jitter_colour(image.astype(np.float32) / 255, rng, 1.0)
    return degrade(picture, rng), labels


def normalise(pictures: np.ndarray) -> Tensor:
    """Return [B, 3, H, W] with ImageNet's mean and deviation from [B, H, W, 3] in 0..1."""
    return torch.from_numpy((pictures - IMAGENET_MEAN) / IMAGENET_STD).permute(0, 3, 1, 2)


def parsing_loss(outputs: tuple[Tensor, ...], labels: Tensor, weights: Tensor) -> Tensor:
    """Return the class-weighted cross entropy of the main head plus half that of the others.

    Half of it is taken over the hardest quarter of pixels (online hard example mining).
    """
    total = 0.0
    for share, logits in zip((1.0, 0.5, 0.5), outputs, strict=True):
        losses = F.cross_entropy(
            logits.float(), labels, weight=weights, ignore_index=IGNORE, reduction="none"
        ).flatten()
        hard = losses.topk(losses.numel() // 4).values.mean()
        total = total + share * (0.5 * losses.mean() + 0.5 * hard)
    return total


def every_other(labels: Tensor) -> Tensor:
    """Return the labels [B, S/2, S/2] at the pixels that logits of half the size stand for.

    The network's logits have 1/8 of the picture's size: at its full size the loss says no more
    about them, and takes most of a step's time.
    """
    side = labels.shape[-1]
    kept = torch.linspace(0, side - 1, side // 2).round().long()
    return labels[:, kept][:, :, kept]


def class_weights(portraits: PortraitSet) -> Tensor:
    """Return the fourth root of inverse frequency per class, mean 1."""
    counts = np.bincount(portraits.labels[:500].ravel(), minlength=19)[:19] + 1
    weights = (counts.sum() / counts) ** 0.25
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def train_face_parser(recipe: dict[str, Any], seed: int, portraits: PortraitSet, folder: Path):
    """Train the parser and return its averaged weights in a BiSeNet."""
    torch.manual_seed(seed)
    network = BiSeNet(**recipe["network"]).to(memory_format=torch.channels_last)
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe["learning_rate"], weight_decay=1e-2
    )
    photos, weights = photographs(), class_weights(portraits)
    run = Run(folder, "face_parser", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 2, step])
        examples = [draw_example(recipe, portraits, photos, rng) for _ in range(recipe["batch"])]
        pictures = normalise(np.stack([picture for picture, _ in examples]))
        labels = every_other(torch.from_numpy(np.stack([labels for _, labels in examples]))).long()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(
                pictures.contiguous(memory_format=torch.channels_last), labels.shape[1:]
            )
        loss = parsing_loss(outputs, labels, weights)
        rate = recipe["learning_rate"] * cosine_rate(step, run.steps)
        descend(loss, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        known = labels != IGNORE
        right = (outputs[0].argmax(1) == labels)[known].float().mean()
        return {"loss": loss.item(), "pixel_accuracy": right.item()}

    train(run, {"network": network, "average": average, "optimizer": optimizer}, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
