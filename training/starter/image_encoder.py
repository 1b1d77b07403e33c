"""Stage: the image encoder, a small CLIP vision transformer that distinguishes styles.

It is trained on portraits and photographs in the renderer's styles. A linear layer predicts the
style from its embedding; embeddings of one style are pulled together and apart from the rest
(Khosla et al., "Supervised Contrastive Learning", equation 2); and another layer predicts the
colours of each quarter of the picture, so that two pictures of one style remain different.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ...models.pixel_statistics import CLIP_MEAN, CLIP_STD
from ...world import STYLES
from ...world.styles import stylise
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from .augment import jitter_colour
from .dataset import PortraitSet, photographs


def build_image_encoder(network: Mapping[str, Any]) -> CLIPVisionModelWithProjection:
    """Return a CLIP vision model; `network` holds its width, depth, patch and picture size."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(hidden_act="quick_gelu", num_channels=3, **network)
    )


def texture_filters(count: int, patch: int) -> Tensor:
    """Return initial filters [count, 3, P, P] of unit length: Gabor waves and smooth colours.

    Nearly all energy of a picture is in low frequencies, and random filters respond to little else.
    Styles differ in the high ones. Three quarters of the filters are therefore grey waves of many
    lengths and directions in two phases; the rest are the slowest cosines of each colour.
    """
    y, x = torch.meshgrid(*[torch.arange(patch) + 0.5 - patch / 2] * 2, indexing="ij")
    window = torch.exp(-(x.square() + y.square()) / (2 * (patch / 5) ** 2))
    waves = count * 3 // 4
    filters = []
    for number in range(waves):
        length = 2.3 * (patch / 4.6) ** ((number // 2 % 6) / 5)
        angle = torch.tensor(math.pi * (number // 12) / math.ceil(waves / 12))
        phase = math.pi / 2 * (number % 2)
        along = (x * angle.cos() + y * angle.sin()) * (2 * math.pi / length)
        wave = window * torch.cos(along + phase)
        filters.append((wave - wave.mean()).expand(3, -1, -1))
    cosines = torch.cos(
        math.pi / patch * torch.outer(torch.arange(patch), torch.arange(patch) + 0.5)
    )
    for number in range(count - waves):
        place = number // 3
        slow = torch.outer(cosines[place // 3], cosines[place % 3])
        filters.append(F.one_hot(torch.tensor(number % 3), 3)[:, None, None] * slow)
    return F.normalize(torch.stack(filters).flatten(1), dim=1).view(count, 3, patch, patch)


@torch.no_grad()
def set_filters(network: CLIPVisionModelWithProjection, pixels: Tensor) -> None:
    """Initialise with `texture_filters`, each scaled to deviation 1 on normalised pictures."""
    patches = network.vision_model.embeddings.patch_embedding
    count, _, patch, _ = patches.weight.shape
    filters = texture_filters(count, patch)
    spread = F.conv2d(pixels, filters, stride=patch).std((0, 2, 3))
    patches.weight.copy_(filters / spread.clamp(min=1e-3)[:, None, None, None])


def style_contrast(vectors: Tensor, styles: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss of unit vectors [N, D] with style numbers [N]."""
    alike = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool)
    logs = alike - alike.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    same = (styles[:, None] == styles[None]) & ~itself
    counts = same.sum(1)
    mean = logs.masked_fill(~same, 0).sum(1) / counts.clamp(min=1)
    return -mean[counts > 0].mean()


def quarter_colours(pictures: Tensor) -> Tensor:
    """Mean and deviation of each colour in each quarter of pictures [N, 3, H, W]: [N, 24]."""
    mean = F.adaptive_avg_pool2d(pictures, 2)
    spread = F.adaptive_avg_pool2d(pictures.square(), 2) - mean.square()
    return torch.cat([mean, spread.clamp(min=0).sqrt()], 1).flatten(1)


def _content(people: PortraitSet, plain: np.ndarray, photos, size: int, rng) -> np.ndarray:
    """A photograph-like portrait, or sometimes a part of a photograph, uint8 [S, S, 3]."""
    if rng.random() < 0.75:
        return people.images[plain[rng.integers(len(plain))]]
    photo = photos[rng.integers(len(photos))]
    side = int(rng.integers(min(size, *photo.shape[:2]), min(photo.shape[:2]) + 1))
    top = int(rng.integers(0, photo.shape[0] - side + 1))
    left = int(rng.integers(0, photo.shape[1] - side + 1))
    view = photo[top : top + side, left : left + side]
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def draw_painting(
    people: PortraitSet, plain: np.ndarray, photos, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return one picture float32 [S, S, 3] in 0..1 and the number of its style.

    plain: indices of the photograph-like portraits; these and photographs are painted in the style.
    """
    number = int(rng.integers(len(STYLES)))
    content = _content(people, plain, photos, size, rng)
    picture = stylise(content, STYLES[number], int(rng.integers(1 << 30)))
    side = int(size * rng.uniform(0.7, 1.0))
    top, left = rng.integers(0, size - side + 1, 2)
    picture = cv2.resize(
        picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_LINEAR
    )
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    return jitter_colour(picture.astype(np.float32) / 255, rng, 0.5), number


def train_image_encoder(recipe: dict[str, Any], seed: int, people: PortraitSet, folder: Path):
    """Train the encoder and return its averaged weights in a CLIPVisionModelWithProjection."""
    torch.manual_seed(seed)
    network = build_image_encoder(recipe["network"]).train()
    width = network.config.projection_dim
    namer, painter = nn.Linear(width, len(STYLES)), nn.Linear(width, 24)
    plain = np.flatnonzero([fact["style"] == "photo" for fact in people.facts])
    photos, size = photographs(), network.config.image_size
    run = Run(folder, "image_encoder", recipe["steps"])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([seed, 7, step])
        drawn = [draw_painting(people, plain, photos, size, rng) for _ in range(recipe["batch"])]
        pictures = np.stack([picture for picture, _ in drawn])
        pixels = torch.from_numpy(
            (pictures - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
        ).movedim(-1, 1)
        return pixels, torch.tensor([number for _, number in drawn])

    set_filters(network, draw(0)[0])
    average = AveragedWeights(network, 0.997)
    optimizer = torch.optim.AdamW(
        [*network.parameters(), *namer.parameters(), *painter.parameters()],
        lr=recipe["learning_rate"],
        weight_decay=5e-2,
    )

    def take_step(step: int) -> dict[str, float]:
        pixels, styles = draw(step)
        with torch.autocast("cpu", torch.bfloat16):
            embeds = network(pixel_values=pixels).image_embeds
        embeds = embeds.float()
        named = namer(embeds)
        contrast = style_contrast(F.normalize(embeds), styles, 0.1)
        colours = F.mse_loss(painter(embeds), quarter_colours(pixels))
        loss = F.cross_entropy(named, styles) + 0.5 * contrast + colours
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, network.parameters())
        average.update(network)
        right = (named.argmax(1) == styles).float().mean()
        return {
            "contrast": contrast.item(),
            "colour_mse": colours.item(),
            "style_accuracy": right.item(),
        }

    parts = {
        "network": network,
        "namer": namer,
        "painter": painter,
        "average": average,
        "optimizer": optimizer,
    }
    train(run, parts, take_step)
    network.load_state_dict(average.weights)
    return network.eval()
