"""Stage: the face embedder, trained on photographs and paintings of each person.

The additive angular margin loss (Deng et al., "ArcFace", equation 3) pulls the pictures of one
person together. In addition a linear layer predicts the parameters that the person was drawn from,
because a few hundred people alone are too few to learn how people differ.
"""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.face_embedder import (
    INPUT_SIZE,
    TEMPLATE,
    EmbedderNetwork,
    similarity,
)
from ...models.small_network import as_pixels
from ...world import STYLES, portrait_landmarks, sample_person
from ...world.identity import EYE_COLOURS
from ...world.styles import stylise
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from .augment import degrade, jitter_colour
from .dataset import PortraitSet


def person_parameters(seed: int) -> list[float]:
    """The numbers that this person is drawn from, and the colour of the eyes."""
    person = sample_person(seed)
    values = [getattr(person, field.name) for field in fields(person) if field.name != "seed"]
    numbers = [float(value) for value in values if isinstance(value, (bool, int, float))]
    return [*numbers, *EYE_COLOURS[person.eye_colour]]


def standardised(values: np.ndarray) -> np.ndarray:
    """Return the columns of `values` [N, K] with mean 0 and deviation 1."""
    return ((values - values.mean(0)) / (values.std(0) + 1e-6)).astype(np.float32)


def onto_template(people: PortraitSet) -> np.ndarray:
    """Return the matrices [N, 2, 3] that align the face of each portrait with the template."""
    size = people.images.shape[1]
    points = [portrait_landmarks(index, size) for index in range(len(people.images))]
    # Landmarks count from the border, the template from the middle of the first pixel.
    return similarity(torch.from_numpy(np.stack(points)) - 0.5, torch.tensor(TEMPLATE)).numpy()


def _moved(matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The matrix, a little turned, scaled and shifted, like a detector's."""
    middle = (INPUT_SIZE - 1) / 2
    angle, scale = float(rng.normal(0, 2.5)), float(np.exp(rng.normal(0, 0.04)))
    move = cv2.getRotationMatrix2D((middle, middle), angle, scale)
    move[:, 2] += rng.normal(0, 1.2, 2)
    return move @ np.vstack([matrix, [0, 0, 1]])


def draw_face(
    recipe: dict, people: PortraitSet, matrices: np.ndarray, index: int, rng: np.random.Generator
) -> np.ndarray:
    """Return one aligned face float32 [112, 112, 3] in 0..1, a photograph or a painting of it."""
    image = people.images[index]
    if people.facts[index]["style"] == "photo" and rng.random() < recipe["painted"]:
        style = STYLES[rng.integers(1, len(STYLES))]
        image = stylise(image, style, int(rng.integers(1 << 30)))
    matrix = _moved(matrices[index], rng)
    face = cv2.warpAffine(image, matrix, (INPUT_SIZE, INPUT_SIZE), flags=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        face = np.ascontiguousarray(face[:, ::-1])
    face = jitter_colour(face.astype(np.float32) / 255, rng, 0.35)
    return degrade(face, rng) if rng.random() < recipe["degraded"] else face


class MarginHead(nn.Module):
    """Logits of each person from vectors, with an angular margin on the right one."""

    def __init__(self, dimensions: int, people: int, scale: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(people, dimensions))
        self.scale = scale

    def forward(self, vectors: Tensor, people: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """Logits [N, people]: s cos(angle + m) for the right person, s cos(angle) for the others.

        The second result has no margin.
        """
        cosine = F.linear(F.normalize(vectors), F.normalize(self.centres))
        right = cosine.gather(1, people[:, None]).clamp(-1 + 1e-5, 1 - 1e-5)
        # Beyond pi the cosine rises again.
        pushed = torch.cos((right.acos() + margin).clamp(max=math.pi))
        return self.scale * cosine.scatter(1, people[:, None], pushed), cosine


def train_face_embedder(recipe: dict[str, Any], seed: int, people: PortraitSet, folder: Path):
    """Train the embedder and return its averaged weights in an EmbedderNetwork."""
    torch.manual_seed(seed)
    network = EmbedderNetwork(**recipe["network"]).to(memory_format=torch.channels_last)
    dimensions = network.project[0].out_features
    seeds, numbers = np.unique([fact["identity"] for fact in people.facts], return_inverse=True)
    parameters = torch.from_numpy(standardised(np.array([person_parameters(s) for s in seeds])))
    margin = MarginHead(dimensions, len(seeds), recipe["scale"])
    namer = nn.Linear(dimensions, parameters.shape[1])
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        [*network.parameters(), *margin.parameters(), *namer.parameters()],
        lr=recipe["learning_rate"],
        weight_decay=1e-2,
    )
    matrices = onto_template(people)
    run = Run(folder, "face_embedder", recipe["steps"])

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 5, step])
        drawn = rng.integers(len(people.images), size=recipe["batch"])
        faces = np.stack([draw_face(recipe, people, matrices, index, rng) for index in drawn])
        who = torch.from_numpy(numbers[drawn])
        pixels = as_pixels(torch.from_numpy(faces)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            vectors = network(pixels)
        vectors = vectors.float()
        # An untrained network does not learn with the full margin, so the margin grows.
        grown = recipe["margin"] * min(1.0, 2 * step / run.steps)
        logits, cosine = margin(vectors, who, grown)
        # Only the direction counts; at length sqrt(D) the entries have deviation 1.
        named = namer(F.normalize(vectors) * math.sqrt(dimensions))
        wrong = (named - parameters[who]).square().mean()
        loss = F.cross_entropy(logits, who) + recipe["parameter_weight"] * wrong
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, network.parameters(), 5.0)
        average.update(network)
        found = (cosine.argmax(1) == who).float().mean()
        return {"loss": loss.item(), "parameter_mse": wrong.item(), "accuracy": found.item()}

    parts = {
        "network": network,
        "margin": margin,
        "namer": namer,
        "average": average,
        "optimizer": optimizer,
    }
    train(run, parts, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
