"""Stage: the face embedder, trained further on photographs, one of each person.

With a single picture of a person, the other ones that training needs are made from it: the mesh of
landmarks says where mouth, brows, jaw and eyes are, and a smooth field moves them as a smile, a
raised brow or a turn of the head would. Drawn people, who have many pictures each, are shown
beside them, so that nothing is unlearnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ...models.face_embedder import (
    INPUT_SIZE,
    TEMPLATE,
    EmbedderNetwork,
    FaceEmbedder,
    similarity,
)
from ...models.small_network import as_pixels
from ...world import STYLES
from ...world.styles import stylise
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from ..precision import autocast
from .augment import degrade, jitter_colour
from .dataset import PortraitSet
from .face_embedder import MarginHead, draw_face, onto_template
from .photo_labels import is_plausible
from .photographs import Photograph

MARGIN = 24
"""Pixels around an aligned face that are kept, so that it can be moved."""
FIVE = (468, 473, 1, 61, 291)
"""Points of the mesh: irises, tip of the nose, corners of the mouth."""
_CORNERS, _CHIN, _LOWER_LIP = (61, 291), (152, 148, 377), (17, 84, 314)
_BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_LIDS = ((159, 145), (386, 374))


@dataclass(frozen=True)
class Face:
    """An aligned face uint8 [160, 160, 3], template in the middle, and its mesh [478, 2]."""

    image: np.ndarray
    points: np.ndarray


def aligned_face(photograph: Photograph) -> Face | None:
    """Return the surest face of a photograph on the template, or None without a plausible one."""
    if not len(photograph.boxes) or not is_plausible(photograph, 0):
        return None
    points = photograph.landmarks[0].astype(np.float64)
    five = torch.from_numpy(points[list(FIVE)])[None]
    matrix = similarity(five, torch.tensor(TEMPLATE) + MARGIN)[0].numpy()
    side = INPUT_SIZE + 2 * MARGIN
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    image = photograph.image
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
    cut = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return Face(cut, (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32))


def expression(points: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return moves (points [K, 2], shift [K, 2] in pixels) of a random change of expression."""
    smile, open_ = float(rng.uniform(-2, 6)), float(rng.uniform(-2, 5))
    middle = points[list(_CORNERS)].mean(0)
    outward = np.sign(points[list(_CORNERS)] - middle) * (1, 0)
    moves = [(points[list(_CORNERS)], outward * smile + (0.0, -0.6 * smile))]
    for indices, amount in ((_LOWER_LIP, open_), (_CHIN, 0.8 * open_)):
        moves.append((points[list(indices)], np.full((len(indices), 2), (0.0, amount))))
    for brow in _BROWS:
        raised = np.full((len(brow), 2), (0.0, rng.normal(0, 1.5)))
        moves.append((points[list(brow)], raised))
    for upper, lower in _LIDS:
        closed = rng.uniform(-0.3, 0.8) * (points[lower] - points[upper]) / 2
        moves.append((points[[upper, lower]], np.stack([closed, -closed])))
    return moves


def displacement(moves: list[tuple[np.ndarray, np.ndarray]], side: int) -> np.ndarray:
    """Return the shift [side, side, 2] in pixels that carries out all moves smoothly.

    Each group of points moves its surroundings by the weighted mean of its shifts, which fades
    with the distance as a Gaussian does.
    """
    axis = np.arange(side, dtype=np.float32)
    field = np.zeros((side, side, 2), np.float32)
    for points, shifts in moves:
        reach = 5.0 if len(points) == 2 and np.abs(np.diff(points[:, 0])) < 4 else 9.0
        x, y = np.float32(points).T
        across = np.exp(-((axis[None] - x[:, None]) ** 2) / (2 * reach**2))
        down = np.exp(-((axis[None] - y[:, None]) ** 2) / (2 * reach**2))
        total = np.einsum("kh,kw->hw", down, across)
        moved = np.einsum("kh,kw,kc->hwc", down, across, np.float32(shifts))
        field += moved / np.maximum(total, 1.0)[..., None]
    return field


def _turned(side: int, rng: np.random.Generator) -> np.ndarray:
    """Where [side, side, 2] each pixel comes from when the head turns a little and leans."""
    axis = np.arange(side, dtype=np.float32) - side / 2
    x, y = np.meshgrid(axis, axis)
    # The half that turns away gets narrower, and the other one wider.
    x = x * (1 + np.float32(rng.normal(0, 0.08)) * np.tanh(x / 20))
    angle, scale = rng.normal(0, 0.05), np.exp(rng.normal(0, 0.05))
    cos, sin = np.float32(np.cos(angle) * scale), np.float32(np.sin(angle) * scale)
    dx, dy = rng.normal(0, 1.8, 2).astype(np.float32)
    return np.stack([cos * x - sin * y + dx, sin * x + cos * y + dy], -1) + side / 2


def show_again(face: Face, rng: np.random.Generator) -> np.ndarray:
    """Return another picture uint8 [112, 112, 3] of the face: turned, with another expression."""
    side = len(face.image)
    source = _turned(side, rng)
    field = displacement(expression(face.points, rng), side)
    # To a good approximation a pixel comes from where the shift at it does not move it to.
    shift = cv2.remap(field, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    drawn = cv2.remap(face.image, source - shift, None, cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    drawn = drawn[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.ascontiguousarray(drawn[:, ::-1] if rng.random() < 0.5 else drawn)


def _lit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture float32 [S, S, 3] with light from another side."""
    axis = np.linspace(-1, 1, len(picture), dtype=np.float32)
    x, y = rng.normal(0, 0.25, 2)
    ramp = np.exp(x * axis[None] + y * axis[:, None])[..., None]
    return np.clip(picture * ramp.astype(np.float32), 0, 1)


def draw_photographed(recipe: dict, face: Face, rng: np.random.Generator) -> np.ndarray:
    """Return a training picture float32 [112, 112, 3] in 0..1: a photograph or a painting of it."""
    shown = show_again(face, rng)
    if rng.random() < recipe["painted"]:
        shown = stylise(shown, STYLES[rng.integers(1, len(STYLES))], int(rng.integers(1 << 30)))
    picture = _lit(jitter_colour(shown.astype(np.float32) / 255, rng, 0.8), rng)
    if rng.random() < recipe["hidden"]:
        height, width = (int(v) for v in rng.integers(12, 48, 2))
        top, left = (int(v) for v in rng.integers(0, INPUT_SIZE - 12, 2))
        picture[top : top + height, left : left + width] = rng.random(3)
    return degrade(picture, rng) if rng.random() < recipe["degraded"] else picture


def train_photo_embedder(
    recipe: dict[str, Any],
    seed: int,
    drawn: PortraitSet,
    photographed: list[Photograph],
    start: FaceEmbedder,
    folder: Path,
):
    """Train the embedder `start` further and return its averaged weights in an EmbedderNetwork."""
    torch.manual_seed(seed)
    faces = [face for face in map(aligned_face, photographed) if face is not None]
    _, numbers = np.unique([fact["identity"] for fact in drawn.facts], return_inverse=True)
    # Drawn people have the first numbers, photographed ones those after them.
    first = int(numbers.max()) + 1
    network = EmbedderNetwork(**recipe["network"])
    network.load_state_dict({k: v.float() for k, v in start.network.state_dict().items()})
    network = network.to(memory_format=torch.channels_last).train()
    dimensions = network.project[0].out_features
    margin = MarginHead(dimensions, first + len(faces), recipe["scale"])
    average = AveragedWeights(network, 0.998)
    optimizer = torch.optim.AdamW(
        [*network.parameters(), *margin.parameters()], lr=recipe["learning_rate"], weight_decay=1e-2
    )
    matrices = onto_template(drawn)
    run = Run(folder, "photo_embedder", recipe["steps"])

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, int]:
        if rng.random() < recipe["photographs"]:
            index = int(rng.integers(len(faces)))
            return draw_photographed(recipe, faces[index], rng), first + index
        index = int(rng.integers(len(drawn.images)))
        return draw_face(recipe, drawn, matrices, index, rng), int(numbers[index])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 8, step])
        pictures, who = zip(*(draw(rng) for _ in range(recipe["batch"])), strict=True)
        who = torch.tensor(who)
        pixels = as_pixels(torch.from_numpy(np.stack(pictures)))
        with autocast():
            vectors = network(pixels.contiguous(memory_format=torch.channels_last))
        # An untrained head does not learn with the full margin, so the margin grows.
        grown = recipe["margin"] * min(1.0, 3 * step / run.steps)
        logits, cosine = margin(vectors.float(), who, grown)
        loss = F.cross_entropy(logits, who)
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        right = cosine.argmax(1) == who
        photos = who >= first
        return {
            "loss": loss.item(),
            "accuracy_drawn": right[~photos].float().mean().nan_to_num().item(),
            "accuracy_photographed": right[photos].float().mean().nan_to_num().item(),
        }

    parts = {"network": network, "margin": margin, "average": average, "optimizer": optimizer}
    train(run, parts, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
