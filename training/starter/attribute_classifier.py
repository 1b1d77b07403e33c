"""The judge of prompt following in `evaluation/assets`; its training is not part of the recipe.

It is trained on people on whom no starter model is trained (split "validation") and scored on
others (split "test"), so that it is independent of the models that it judges. To train it:
python -m visage.training.starter.attribute_classifier WORK
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...models.attribute_classifier import (
    ATTRIBUTES,
    VIEW,
    AttributeClassifier,
    align,
)
from ...models.checkpoints import write_weights
from ...world import portrait
from ...world.circumstance import HAIR_COLOURS, LIPSTICKS, sample_circumstance
from ...world.identity import sample_person
from ...world.portrait import person_of, render
from ..loop import AveragedWeights, Run, cosine_rate, train

SEED = 1117
PEOPLE = 3000
STEPS = 1500
BATCH = 64
LEARNING_RATE = 2e-3
HELD_OUT = 300
STORED = 96
"""Side of the stored views in pixels; a random part of one still has the network's 64 px."""


def _render_example(number: int):
    """A photograph-like portrait whose rare attributes are as frequent as common ones."""
    rng = np.random.default_rng([SEED, number])
    seed = 7_000_000 + number
    person = sample_person(person_of(number, "validation"))
    now = sample_circumstance(seed, person)
    changes = {"hair_colour": str(rng.choice(list(HAIR_COLOURS)))}
    if rng.random() < 0.3:
        changes["glasses"] = str(rng.choice(["none", "glasses", "glasses", "sunglasses"]))
    if person.male and rng.random() < 0.3:
        changes["facial_hair"] = "beard"
    if not person.male and rng.random() < 0.3:
        changes["lipstick"] = str(rng.choice(list(LIPSTICKS)))
    return render(person, dataclasses.replace(now, **changes), 128, "photo", seed)


def _truth(traits: dict) -> list[bool]:
    return [attribute.shown(traits) for attribute in ATTRIBUTES.values()]


def render_examples(count: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Render views uint8 [N, 96, 96, 3] and their truth bool [N, 10]; both are kept in `folder`."""
    path = folder / f"views_{count}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        views = np.empty((count, STORED, STORED, 3), np.uint8)
        truth = np.empty((count, len(ATTRIBUTES)), bool)
        for number in tqdm(range(count), desc="render", mininterval=5):
            picture = _render_example(number)
            views[number] = align(picture.image, picture.landmarks, STORED)
            truth[number] = _truth(picture.traits)
        np.savez(path, views=views, truth=truth)
    with np.load(path) as kept:
        return kept["views"], kept["truth"]


def _vary(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A view as float32 [64, 64, 3] in 0..1, randomly moved, turned, mirrored and blurred."""
    turn = cv2.getRotationMatrix2D(
        (STORED / 2, STORED / 2),
        float(rng.normal(0, 4)),
        VIEW / STORED * float(np.exp(rng.normal(0, 0.06))),
    )
    turn[:, 2] += (VIEW - STORED) / 2 + rng.normal(0, 0.025 * VIEW, 2)
    view = cv2.warpAffine(
        view, turn, (VIEW, VIEW), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    view = view.astype(np.float32) / 255
    if rng.random() < 0.5:
        view = view[:, ::-1]
    if rng.random() < 0.6:
        view = cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.3, 1.4)))
    view = (view - 0.5) * rng.uniform(0.9, 1.1) + 0.5 + rng.normal(0, 0.02, 3)
    return np.clip(view, 0, 1).astype(np.float32)


def train_classifier(work: Path) -> AttributeClassifier:
    """Train the judge, or resume the training in `work`."""
    views, truth = render_examples(PEOPLE, work)
    torch.manual_seed(SEED)
    network = AttributeClassifier()
    average = AveragedWeights(network, 0.99)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    # Presence and absence weigh the same, so that 0.5 is the right threshold.
    fraction = torch.from_numpy(truth.mean(0)).float()
    run = Run(work, "attribute_classifier", STEPS)

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([SEED, 1, step])
        torch.manual_seed(SEED + step)  # dropout
        picked = rng.integers(len(views), size=BATCH)
        shown = torch.from_numpy(np.stack([_vary(views[i], rng) for i in picked])).movedim(-1, 1)
        target = torch.from_numpy(truth[picked]).float()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * cosine_rate(step, run.steps)
        logits = network(shown)
        weight = torch.where(target > 0, 0.5 / fraction, 0.5 / (1 - fraction))
        loss = F.binary_cross_entropy_with_logits(logits, target, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update(network)
        right = ((logits > 0) == (target > 0)).float().mean()
        return {"loss": loss.item(), "accuracy": right.item()}

    train(run, {"network": network, "average": average, "optimizer": optimizer}, take_step)
    network.load_state_dict(average.weights)
    return network.eval()


@torch.inference_mode()
def held_out_accuracy(network: AttributeClassifier, count: int) -> dict[str, float]:
    """Balanced accuracy of each attribute on `count` portraits of the split "test"."""
    people = [portrait(index, split="test", style="photo") for index in range(count)]
    shown = np.stack([align(person.image, person.landmarks) for person in people])
    found = network(torch.from_numpy(shown).float().movedim(-1, 1) / 255).numpy() > 0
    truth = np.array([_truth(person.traits) for person in people])
    return {
        name: float((found[truth[:, i], i].mean() + (~found[~truth[:, i], i]).mean()) / 2)
        for i, name in enumerate(ATTRIBUTES)
    }


def save_classifier(network: AttributeClassifier, path: Path) -> None:
    """Write the judge in fp16; an earlier file is replaced."""
    weights: dict[str, Tensor] = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_weights(path, weights, {"visage.kind": "attribute_classifier"}, overwrite=True)


def main() -> None:
    """Train the judge in the folder WORK and write it there with its held-out accuracy."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("work", type=Path, help="folder for checkpoints and results")
    work = parser.parse_args().work
    network = train_classifier(work)
    save_classifier(network, work / "attribute_classifier.safetensors")
    accuracy = held_out_accuracy(network, HELD_OUT)
    (work / "accuracy.json").write_text(json.dumps(accuracy, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
