"""Prompt following on photographs: whether a judge finds what a prompt names in the edited face.

The judge is a small network, trained on the training photographs with the labels that people gave
them; the edits are of held-out ones. Its accuracy on held-out photographs limits what its answers
are worth and is therefore always reported with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.attribute_classifier import VIEW, align, load_attribute_classifier
from ..training.loop import AveragedWeights, optimizer_step, trapezoid_rate
from ..training.starter.augment import jitter_colour
from ..training.starter.photographs import Photograph

STEPS = 600
BATCH = 48
LEARNING_RATE = 1e-3
STORED = 96
"""Side of the stored views in pixels; a random part of one still has the network's 64 px."""
# Points of MediaPipe's mesh: left and right iris (the viewer's), tip of the nose, mouth corners.
POINTS = (468, 473, 1, 61, 291)

Labels = dict[str, str]


@dataclass(frozen=True)
class PhotoAttribute:
    """An attribute that a prompt can ask for.

    words: the prompt, with {who} for man, woman or person; parts: what is repainted; shown: whether
    the labels have the attribute; known: whether they can tell."""

    words: str
    parts: str
    shown: Callable[[Labels], bool]
    known: Callable[[Labels], bool] = lambda labels: True


def _hair(*colours: str) -> Callable[[Labels], bool]:
    return lambda labels: labels["hair_colour"] in colours


def _hair_seen(labels: Labels) -> bool:
    return labels["hair_colour"] not in ("bald", "hidden", "mixed")


ATTRIBUTES = {
    "glasses": PhotoAttribute(
        "a photo of a {who} with glasses", "face", lambda labels: labels["glasses"] != "none"
    ),
    "beard": PhotoAttribute(
        "a photo of a man with a beard",
        "face",
        lambda labels: labels["beard"] in ("full", "goatee"),
        lambda labels: labels["gender"] == "m" and labels["beard"] != "stubble",
    ),
    "smile": PhotoAttribute(
        "a photo of a {who} with a smile", "face", lambda labels: labels["smile"] != "none"
    ),
    "black_hair": PhotoAttribute(
        "a photo of a {who} with black hair", "face and hair", _hair("black"), _hair_seen
    ),
    "blond_hair": PhotoAttribute(
        "a photo of a {who} with blond hair", "face and hair", _hair("blond"), _hair_seen
    ),
    "red_hair": PhotoAttribute(
        "a photo of a {who} with red hair", "face and hair", _hair("red"), _hair_seen
    ),
    "grey_hair": PhotoAttribute(
        "a photo of a {who} with grey hair", "face and hair", _hair("grey", "white"), _hair_seen
    ),
    "bald": PhotoAttribute(
        "a photo of a bald {who}", "face and hair", lambda labels: labels["hair_length"] == "bald"
    ),
    "hat": PhotoAttribute(
        "a photo of a {who} with a hat",
        "face and hair",
        lambda labels: labels["headwear"] != "none",
    ),
    "old": PhotoAttribute("a photo of an old {who}", "face", lambda labels: labels["age"] == "old"),
}


def prompt_for(attribute: PhotoAttribute, labels: Labels) -> str:
    """The prompt that asks for an attribute on a person with these labels."""
    return attribute.words.format(who={"m": "man", "w": "woman"}.get(labels["gender"], "person"))


def five_points(photograph: Photograph) -> np.ndarray | None:
    """Eyes, nose and mouth corners [5, 2] of the surest face, or None if it has no landmarks."""
    if not len(photograph.landmarks) or np.isnan(photograph.landmarks[0]).any():
        return None
    return photograph.landmarks[0][list(POINTS)].astype(np.float64)


def _truth(labels: Labels) -> tuple[list[bool], list[bool]]:
    attributes = ATTRIBUTES.values()
    return [a.shown(labels) for a in attributes], [a.known(labels) for a in attributes]


def judged_views(photographs: Sequence[Photograph]) -> tuple[np.ndarray, Tensor, Tensor]:
    """Aligned views uint8 [N, 96, 96, 3] of the photographs with landmarks.

    Also returns whether they show each attribute [N, A], and whether that is known [N, A]."""
    views, shown, known = [], [], []
    for photo in photographs:
        points = five_points(photo)
        if points is not None and photo.labels:
            truth = _truth(photo.labels)
            views.append(align(photo.image, points, STORED))
            shown.append(truth[0])
            known.append(truth[1])
    return np.stack(views), torch.tensor(shown), torch.tensor(known)


class PhotoJudge:
    """The trained network: judge(picture, five points) -> which attributes it shows, by name."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, points: np.ndarray) -> dict[str, bool]:
        view = torch.from_numpy(align(image, points, VIEW)).float().movedim(-1, 0)[None] / 255
        return dict(zip(ATTRIBUTES, (self.network(view)[0] > 0).tolist(), strict=True))


def _network() -> nn.Module:
    """The judge of drawn faces with a new last layer, to start with its features."""
    network = load_attribute_classifier().requires_grad_(True)
    network.head[-1] = nn.Linear(network.head[-1].in_features, len(ATTRIBUTES))
    return network


def _draw(views: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Random parts of views [B, 3, 64, 64] in 0..1, randomly mirrored and recoloured."""
    pictures = []
    for number in chosen:
        side = int(rng.integers(STORED * 4 // 5, STORED + 1))
        top, left = rng.integers(0, STORED - side + 1, 2)
        part = views[number, top : top + side, left : left + side]
        part = cv2.resize(part, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
        part = part[:, ::-1] if rng.random() < 0.5 else part
        pictures.append(jitter_colour(part.astype(np.float32) / 255, rng, 0.25))
    pictures = np.stack(pictures)
    return torch.from_numpy(pictures).movedim(-1, 1)


def train_photo_judge(photographs: Sequence[Photograph], steps: int = STEPS) -> PhotoJudge:
    """Train a judge on labelled photographs; rare attributes weigh more."""
    torch.manual_seed(0)
    views, shown, known = judged_views(photographs)
    network = _network().train()
    average = AveragedWeights(network, 0.99)
    fraction = (shown & known).sum(0) / known.sum(0).clamp(min=1)
    weight = ((1 - fraction) / fraction.clamp(min=0.01)).clamp(max=20)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=5e-2)
    for step in range(steps):
        rng = np.random.default_rng([0, step])
        chosen = rng.integers(len(views), size=BATCH)
        logits = network(_draw(views, chosen, rng))
        losses = F.binary_cross_entropy_with_logits(
            logits, shown[chosen].float(), pos_weight=weight, reduction="none"
        )
        counted = known[chosen].float()
        loss = (losses * counted).sum() / counted.sum()
        rate = LEARNING_RATE * trapezoid_rate(step, steps, warm_up=min(100, steps))
        optimizer_step(loss, optimizer, rate, network.parameters())
        average.update(network)
    network.load_state_dict(average.weights)
    return PhotoJudge(network.eval().requires_grad_(False))


@torch.inference_mode()
def judge_accuracy(judge: PhotoJudge, photographs: Sequence[Photograph]) -> dict[str, float]:
    """The judge's balanced accuracy for each attribute.

    NaN if no photograph has the attribute, or all have it.
    """
    views, shown, known = judged_views(photographs)
    pixels = torch.from_numpy(views).float().movedim(-1, 1) / 255
    pixels = F.interpolate(pixels, (VIEW, VIEW), mode="bilinear", antialias=True)
    told = judge.network(pixels) > 0
    accuracy = {}
    for number, name in enumerate(ATTRIBUTES):
        rates = []
        for kind in (True, False):
            chosen = known[:, number] & (shown[:, number] == kind)
            rates.append(float((told[chosen, number] == kind).float().mean()))
        accuracy[name] = float(np.mean(rates))
    return accuracy


def people_without(
    attribute: PhotoAttribute, photographs: Sequence[Photograph], count: int
) -> list[Photograph]:
    """The first `count` photographs with landmarks of people without the attribute."""
    return [
        photo
        for photo in photographs
        if photo.labels
        and attribute.known(photo.labels)
        and not attribute.shown(photo.labels)
        and five_points(photo) is not None
    ][:count]
