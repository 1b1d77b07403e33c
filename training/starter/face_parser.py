"""Stage: the face parser, a narrow BiSeNet, trained on rendered people and on photographs.

Rendered people are labelled with every class. Photographs (of people who do not exist) are labelled
with the face, its parts, and the other classes where an earlier parser is sure of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.bisenet import BiSeNet
from ...models.face_classes import CLASSES, PRESETS, class_index
from ...models.face_parser import FaceParser
from ...models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from ..precision import autocast
from .augment import degrade, jitter_colour, mirror_labels
from .dataset import PortraitSet, photographs
from .photo_labels import ANY_FACE, IGNORE, NOT_FACE, is_plausible
from .photographs import Photograph


def _warp(image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator):
    """Turn, scale and shift picture and map alike; pixels from outside are labelled IGNORE."""
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


def _photographed(
    photograph: Photograph, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the surest face, with random surroundings, out of picture and map."""
    height, width = labels.shape
    middle, side = np.array([width / 2, height / 2]), float(max(height, width))
    if len(photograph.boxes) and is_plausible(photograph, 0):
        x, y, w, h = photograph.boxes[0]
        middle = np.array([x + w / 2, y + h / 2])
        side = min(side, max(w, h) * (1 + float(np.exp(rng.uniform(np.log(0.3), np.log(2.6))))))
    if rng.random() < 0.5:
        image, labels = np.ascontiguousarray(photograph.image[:, ::-1]), mirror_labels(labels)
        middle[0] = width - middle[0]
    else:
        image = photograph.image
    angle = float(rng.uniform(-50, 50) if rng.random() < 0.12 else rng.normal(0, 12))
    scale = float(np.exp(rng.normal(0, 0.12))) * size / side
    matrix = cv2.getRotationMatrix2D(middle.tolist(), angle, scale)
    matrix[:, 2] += size / 2 - middle + rng.normal(0, 0.06 * size, 2)
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
    image = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    labels = cv2.warpAffine(
        labels, matrix, (size, size), flags=cv2.INTER_NEAREST, borderValue=IGNORE
    )
    return image, labels


def draw_example(
    recipe: dict,
    portraits: PortraitSet,
    photos,
    rng: np.random.Generator,
    people: list[tuple[Photograph, np.ndarray]] = (),
):
    """Return one picture float32 [S, S, 3] in 0..1 and its label map uint8 [S, S].

    `people` are photographs with their label maps, `photos` those without people.
    """
    size = recipe["input_size"]
    if rng.random() < recipe["photo_negatives"]:
        photo = photos[rng.integers(len(photos))]
        empty = np.zeros(photo.shape[:2], np.uint8)
        image = cv2.resize(
            _new_background(photo, empty, photos, rng), (size, size), interpolation=cv2.INTER_AREA
        )
        labels = np.zeros((size, size), np.uint8)
    elif people and rng.random() < recipe["photographs"]:
        photograph, labels = people[rng.integers(len(people))]
        image, labels = _photographed(photograph, labels, size, rng)
    else:
        index = int(rng.integers(len(portraits.images)))
        image, labels = portraits.images[index], portraits.labels[index]
        if rng.random() < 0.4:
            image = _new_background(image, labels, photos, rng)
        if rng.random() < 0.5:
            image, labels = np.ascontiguousarray(image[:, ::-1]), mirror_labels(labels)
        image, labels = _warp(image, labels, size, rng)
    picture = jitter_colour(image.astype(np.float32) / 255, rng, 1.0)
    # Sharp pictures teach where the edges are, degraded ones to expect less.
    return (degrade(picture, rng) if rng.random() < recipe["degraded"] else picture), labels


def normalise(pictures: np.ndarray) -> Tensor:
    """Return [B, 3, H, W] with ImageNet's mean and deviation from [B, H, W, 3] in 0..1."""
    return torch.from_numpy(
        (pictures - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    ).permute(0, 3, 1, 2)


_FACE = [class_index(name) for name in PRESETS["face"]]
_OTHERS = [index for index in range(len(CLASSES)) if index not in _FACE]


def pixel_losses(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return each pixel's negative log likelihood of its label, [B, h, w]; 0 where it is IGNORE.

    A label is a class, or ANY_FACE or NOT_FACE, whose probability is the sum of several classes.
    `weights` are the weights of the classes.
    """
    logits = logits.float()
    losses = F.cross_entropy(
        logits, labels.masked_fill(labels > len(CLASSES), IGNORE), weight=weights,
        ignore_index=IGNORE, reduction="none",
    )  # fmt: skip
    for label, classes in ((ANY_FACE, _FACE), (NOT_FACE, _OTHERS)):
        where = labels == label
        if where.any():
            shown = logits.movedim(1, -1)[where]
            losses[where] = shown.logsumexp(1) - shown[:, classes].logsumexp(1)
    return losses


def parsing_loss(outputs: tuple[Tensor, ...], labels: Tensor, weights: Tensor) -> Tensor:
    """Return the class-weighted cross entropy of the main head plus half that of the others.

    Half of each is the mean of the hardest quarter of pixels (online hard example mining).
    """
    total = 0.0
    for weight, logits in zip((1.0, 0.5, 0.5), outputs, strict=True):
        losses = pixel_losses(logits, labels, weights).flatten()
        hard = losses.topk(losses.numel() // 4).values.mean()
        total = total + weight * (0.5 * losses.mean() + 0.5 * hard)
    return total


def every_other(labels: Tensor) -> Tensor:
    """Return every other label, [B, S/2, S/2], to compare with logits of half the size.

    The network's logits have 1/4 of the picture's size. At full size the loss is no more exact and
    takes most of a step's time.
    """
    side = labels.shape[-1]
    kept = torch.linspace(0, side - 1, side // 2).round().long()
    return labels[:, kept][:, :, kept]


def class_weights(portraits: PortraitSet) -> Tensor:
    """Return the fourth root of inverse frequency per class, mean 1."""
    counts = np.bincount(portraits.labels[:500].ravel(), minlength=19)[:19] + 1
    weights = (counts.sum() / counts) ** 0.25
    return torch.tensor(weights / weights.mean(), dtype=torch.float32)


def begin(recipe: dict[str, Any], start: FaceParser | None) -> BiSeNet:
    """Return the network that training starts from: new, or with the weights that `start` has.

    A refinement that an older parser lacks begins as the identity.
    """
    network = BiSeNet(**recipe["network"])
    if start is not None:
        mine, theirs = network.state_dict(), start.network.state_dict()
        same = {k: v.float() for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
        network.load_state_dict(mine | same)
    return network.to(memory_format=torch.channels_last)


def train_face_parser(
    recipe: dict[str, Any],
    seed: int,
    portraits: PortraitSet,
    folder: Path,
    people: list[tuple[Photograph, np.ndarray]] = (),
    start: FaceParser | None = None,
):
    """Train the parser and return its averaged weights in a BiSeNet.

    `people` are photographs with their label maps (`photo_labels`); with them the checkpoint is
    that of the stage `photo_parser`. Training continues from `start` if given.
    """
    torch.manual_seed(seed)
    network = begin(recipe, start)
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe["learning_rate"], weight_decay=1e-2
    )
    photos, weights = photographs(), class_weights(portraits)
    run = Run(folder, "photo_parser" if people else "face_parser", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 2, step])
        examples = [
            draw_example(recipe, portraits, photos, rng, people) for _ in range(recipe["batch"])
        ]
        pictures = normalise(np.stack([picture for picture, _ in examples]))
        labels = every_other(torch.from_numpy(np.stack([labels for _, labels in examples]))).long()
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with autocast():
            outputs = network(pictures, labels.shape[1:])
        loss = parsing_loss(outputs, labels, weights)
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        known = labels < len(CLASSES)
        right = (outputs[0].argmax(1) == labels)[known].float().mean()
        return {"loss": loss.item(), "pixel_accuracy": right.item()}

    train(run, {"network": network, "average": average, "optimizer": optimizer}, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
