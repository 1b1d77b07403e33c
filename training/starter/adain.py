"""The AdaIN pair: an encoder and a decoder that paint any picture in any other's style.

Huang and Belongie train a decoder for VGG's features. Here encoder and decoder are trained
together, so that nothing is downloaded. The painted picture y = g(AdaIN(f(c'), f(s))) should have
the patches of the painting s (`techniques.sliced_wasserstein`) and the forms of c', the photograph
with the painting's light and contrast. A picture with its own statistics should be reconstructed:
    L = SW(y, s) + w (|blur(y) - blur(c')| + |grad(y) - grad(c')|) + v |g(f(c')) - c'|.
All pictures are grey: in a small network colours and strokes compete, and matching the colours'
mean and covariance (`techniques.colour_transfer`) needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.adain import AdaINPair, new_pair
from ...techniques.adain_style import adain, statistics
from ...techniques.colour_transfer import as_grey
from ...techniques.sliced_wasserstein import PatchDistribution
from ..fast_style import content_loss
from ..loop import AveragedWeights, Run, optimizer_step, step_generator, train, trapezoid_rate
from .photo_vae import Sources, crop_around

STYLE_SEEDS = 1000
"""Number of crops of paintings to choose from; each is prepared once."""


def train_adain(recipe: dict[str, Any], seed: int, sources: Sources, folder: Path) -> AdaINPair:
    """Train a pair on photographs and drawings in the styles of paintings.

    Without paintings the drawings are the styles. Returns the pair of averaged weights.
    """
    torch.manual_seed(seed)
    pair = new_pair(**recipe["network"])
    networks = nn.ModuleDict({"encoder": pair.encoder, "decoder": pair.decoder}).train()
    average = AveragedWeights(networks, 0.99)
    rate = recipe["learning_rate"]
    optimizer = torch.optim.Adam(networks.parameters(), lr=rate)
    run = Run(folder, "adain", recipe["steps"], save_every=50)
    prepared: dict[int, PatchDistribution] = {}

    def take_step(step: int) -> dict[str, float]:
        rng, generator = np.random.default_rng([seed, 21, step]), step_generator(seed, step)
        style, wanted = _style(sources, recipe, int(rng.integers(STYLE_SEEDS)), prepared, generator)
        content = _content(sources, recipe, rng, style)
        features = pair.encoder(content)
        target = adain(features, statistics(features), statistics(pair.encoder(style)))
        both = pair.decoder(torch.cat([target, features]))
        painted, same = both.chunk(2)
        far = wanted.distance(painted)
        forms = content_loss(painted, content)
        again = (same - content).abs().mean()
        loss = far + recipe["content_weight"] * forms + recipe["identity_weight"] * again
        optimizer_step(
            loss, optimizer, rate * trapezoid_rate(step, run.steps, 20), networks.parameters()
        )
        average.update(networks)
        return {"loss": loss.item(), "style": far.item(), "again": again.item()}

    train(run, {"networks": networks, "average": average, "optimizer": optimizer}, take_step)
    networks.load_state_dict(average.weights)
    networks.eval().requires_grad_(False)
    pair.paints_light = True
    return pair


def _style(
    sources: Sources, recipe: dict[str, Any], number: int,
    prepared: dict[int, PatchDistribution], generator: torch.Generator,
) -> tuple[Tensor, PatchDistribution]:  # fmt: skip
    """A painting [1, 3, h, w] and its patches."""
    paintings: Sequence[np.ndarray] = sources.paintings or list(sources.drawings)
    number %= len(paintings)
    if number not in prepared:
        picture = as_grey(torch.from_numpy(np.array(paintings[number])).float() / 255)
        picture = picture.movedim(-1, 0)[None]
        scale = recipe["style_size"] / max(picture.shape[2:])
        size = [max(64, round(side * scale)) for side in picture.shape[2:]]
        picture = F.interpolate(picture, [side // 4 * 4 for side in size], mode="area")
        prepared[number] = PatchDistribution(picture, generator)
    wanted = prepared[number]
    wanted.generator = generator
    return wanted.scales[0][0], wanted


def _content(
    sources: Sources, recipe: dict[str, Any], rng: np.random.Generator, style: Tensor
) -> Tensor:
    """Grey crops [B, 3, S, S] of photographs and drawings with the style's light."""
    crops = []
    for _ in range(recipe["batch"]):
        picture, _, place, _ = sources.draw(recipe["shares"], rng)
        scale = float(np.exp(rng.uniform(*np.log((0.3, 1.0)))))
        crop = torch.from_numpy(crop_around(picture, place, recipe["crop"], scale).copy()) / 255.0
        crops.append(as_grey(crop, style[0].movedim(0, -1)))
    return torch.stack(crops).movedim(-1, 1)
