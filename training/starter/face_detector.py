"""Stage: the face detector, trained on rendered people and scenes and on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.face_detector import STRIDE, DetectorNetwork, FaceDetector
from ...models.small_network import as_pixels
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from ..precision import autocast
from .augment import degrade, jitter_colour
from .dataset import PortraitSet, photographs
from .detector_pictures import (
    MAX_FACE,
    MIN_FACE,
    Layer,
    draw_picture,
    photograph_layers,
    portrait_layers,
    scene_layers,
)
from .photographs import Photograph
from .scenes import SceneSet

MIN_VISIBLE = 0.6


def targets(picture: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return heat [g, g], weight [g, g], the 14 target numbers [14, g, g] and their cells [g, g].

    The heat is 1 in the cell of a face's centre and falls off around it. The weight is 0 over
    faces that are too small, too large or too hidden to be detected.
    """
    size = picture.image.shape[0]
    grid = size // STRIDE
    axis = np.arange(grid, dtype=np.float32) + 0.5
    heat, weight = np.zeros((grid, grid), np.float32), np.ones((grid, grid), np.float32)
    numbers, where = np.zeros((14, grid, grid), np.float32), np.zeros((grid, grid), np.float32)
    for box, points, visible in zip(picture.boxes, picture.landmarks, picture.visible, strict=True):
        extent = float(np.sqrt(max(box[2:].prod(), 0)))
        low = np.maximum(box[:2], 0)
        seen = np.clip(np.minimum(box[:2] + box[2:], size) - low, 0, None).prod()
        if seen <= 0:
            continue
        visible = visible * seen / max(box[2:].prod(), 1e-6)
        x, y = (box[:2] + box[2:] / 2) / STRIDE
        if not MIN_FACE <= extent <= MAX_FACE or visible < MIN_VISIBLE:
            rows = np.abs(axis - y) < box[3] / 2 / STRIDE
            weight[np.ix_(rows, np.abs(axis - x) < box[2] / 2 / STRIDE)] = 0
            continue
        if not (0 <= x < grid and 0 <= y < grid):
            continue
        sigma = max(0.12 * extent / STRIDE, 0.5)
        near = np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))
        near[int(y), int(x)] = 1.0
        mine = near > np.maximum(heat, 0.3)
        heat = np.maximum(heat, near)
        rows, columns = np.nonzero(mine)
        cells = np.stack([columns, rows], 1) + 0.5
        told = np.concatenate(
            [
                [x, y] - cells,
                np.tile(np.log(box[2:] / STRIDE), (len(cells), 1)),
                (points[None] / STRIDE - cells[:, None]).reshape(-1, 10),
            ],
            1,
        )
        numbers[:, rows, columns] = told.T
        where[rows, columns] = near[rows, columns]
    return heat, weight, numbers, where


def detection_loss(outputs: Tensor, heat: Tensor, weight: Tensor, numbers: Tensor, where: Tensor):
    """Focal loss of the heat (Law and Deng, "CornerNet", equation 1); smooth L1 of box and marks.

    Returns both losses, each summed over cells and divided by the number of faces.
    """
    logits = outputs[:, 0].float()
    sure = logits.sigmoid()
    centre = (heat == 1).float()
    found = -F.logsigmoid(logits) * (1 - sure).square() * centre
    empty = -F.logsigmoid(-logits) * sure.square() * (1 - heat).pow(4) * (1 - centre) * weight
    faces = centre.sum().clamp(min=1)
    distance = F.smooth_l1_loss(outputs[:, 1:].float(), numbers, beta=0.1, reduction="none")
    scale = distance.new_tensor([1.0] * 2 + [2.0] * 2 + [0.4] * 10)[:, None, None]
    told = (distance * scale * where[:, None]).sum() / where.sum().clamp(min=1)
    return (found + empty).sum() / faces, told


def begin(recipe: dict[str, Any], start: FaceDetector | None) -> DetectorNetwork:
    """Return the network that training starts from: new, or with those weights of `start` that
    have the same shape.
    """
    network = DetectorNetwork(**recipe["network"])
    if start is not None:
        mine, theirs = network.state_dict(), start.network.state_dict()
        same = {k: v.float() for k, v in theirs.items() if v.shape == mine[k].shape}
        network.load_state_dict(mine | same)
    return network.to(memory_format=torch.channels_last)


def train_face_detector(
    recipe: dict[str, Any],
    seed: int,
    people: PortraitSet,
    scenes: SceneSet,
    folder: Path,
    photographed: list[tuple[Photograph, np.ndarray]] = (),
    start: FaceDetector | None = None,
):
    """Train the detector and return its averaged weights in a DetectorNetwork.

    `photographed` are photographs of people with their label maps (`photo_labels`); with them the
    checkpoint is that of the stage `photo_detector`. Training continues from `start` if given.
    """
    torch.manual_seed(seed)
    network = begin(recipe, start)
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe["learning_rate"], weight_decay=1e-2
    )
    sources = portrait_layers(people), scene_layers(scenes), photographs()
    shown_people = photograph_layers(photographed)
    run = Run(folder, "photo_detector" if photographed else "face_detector", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 6, step])
        drawn = [draw_picture(recipe, *sources, rng, shown_people) for _ in range(recipe["batch"])]
        shown = [
            degrade(jitter_colour(picture.image.astype(np.float32) / 255, rng, 1.0), rng)
            for picture in drawn
        ]
        truth = [torch.from_numpy(np.stack(t)) for t in zip(*map(targets, drawn), strict=True)]
        pixels = as_pixels(torch.from_numpy(np.stack(shown)))
        with autocast():
            outputs = network(pixels.contiguous(memory_format=torch.channels_last))
        heat, told = detection_loss(outputs, *truth)
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(heat + told, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        return {"heat": heat.item(), "numbers": told.item()}

    train(run, {"network": network, "average": average, "optimizer": optimizer}, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
