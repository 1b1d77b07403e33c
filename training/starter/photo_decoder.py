"""Stage: the decoder, trained on photographs and paintings for sharpness; the encoder is frozen.

The loss is that of an autoencoder's second stage: absolute error, gradients, the colour of each
latent cell, features of the starter's own face parser (Zhang et al., "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric", equation 1, with unit weights), and later
a patch discriminator with the hinge loss, weighted by the ratio of the gradients at the last layer
(Esser et al., "Taming Transformers for High-Resolution Image Synthesis", equation 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ...models.bisenet import BiSeNet
from ...models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from ..precision import autocast
from .augment import jitter_colour
from .photographs import Photograph
from .vae import psnr

# Scale at which a picture of each kind is shown; a crop is cut from that.
SCALES = {"photographs": (0.32, 0.85), "drawings": (0.5, 1.0), "paintings": (0.2, 0.7)}


@dataclass(frozen=True)
class Sources:
    """The pictures that are cropped, uint8 [H, W, 3]; a kind without pictures is left out."""

    photographs: Sequence[Photograph]
    drawings: np.ndarray
    paintings: Sequence[np.ndarray]

    def draw(self, fractions: dict[str, float], rng: np.random.Generator):
        """Draw a picture uint8 [H, W, 3], the place of its crop (0..1), and its kind."""
        there = {kind: fraction for kind, fraction in fractions.items() if len(getattr(self, kind))}
        odds = np.array(list(there.values())) / sum(there.values())
        kind = str(rng.choice(list(there), p=odds))
        place = rng.random(2)
        if kind == "photographs":
            # In portraits the face is near the middle.
            place = rng.normal(0.5, 0.2, 2).clip(0, 1)
            return self.photographs[rng.integers(len(self.photographs))].image, place, kind
        if kind == "drawings":
            return self.drawings[rng.integers(len(self.drawings))], place, kind
        return self.paintings[rng.integers(len(self.paintings))], place, kind


def crop_around(picture: np.ndarray, place, size: int, scale: float) -> np.ndarray:
    """Cut a square of `size` pixels out of `picture` shrunk by `scale`, centred near `place`."""
    side = min(max(size, round(size / scale)), *picture.shape[:2])
    top, left = (
        int(np.clip(round(fraction * length - side / 2), 0, length - side))
        for fraction, length in zip(place, picture.shape[:2], strict=True)
    )
    view = picture[top : top + side, left : left + side]
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def draw_crops(sources: Sources, recipe: dict[str, Any], rng: np.random.Generator) -> Tensor:
    """Return crops [B, 3, S, S] in -1..1."""
    crops = []
    for _ in range(recipe["batch"]):
        picture, place, kind = sources.draw(recipe["shares"], rng)
        scale = float(np.exp(rng.uniform(*np.log(SCALES[kind]))))
        crop = crop_around(picture, place, recipe["crop"], scale)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crops.append(jitter_colour(crop.astype(np.float32) / 255, rng, 0.3))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) * 2 - 1


class PatchDiscriminator(nn.Module):
    """Maps pictures [B, 3, S, S] to a score for each patch of about 46 px; real ones score high."""

    def __init__(self, widths: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            conv = nn.Conv2d(before, width, 4, 2, 1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2, inplace=True)]
            before = width
        self.body = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 3, 1, 1)))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.body(pictures)


def hinge_loss(real: Tensor, decoded: Tensor) -> Tensor:
    """The discriminator's loss: scores of real pictures above 1, of decoded ones below -1."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + decoded).mean())


class PerceptualLoss(nn.Module):
    """The distance of pictures [B, 3, S, S] in -1..1 by the features of a face parser."""

    def __init__(self, parser: BiSeNet) -> None:
        super().__init__()
        self.stem = parser.cp.resnet.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def _features(self, pictures: Tensor) -> list[Tensor]:
        x = ((pictures + 1) / 2 - self.mean) / self.std
        first = F.relu(self.stem.bn1(self.stem.conv1(x)))
        second = self.stem.layer1(F.max_pool2d(first, 3, 2, 1))
        return [F.normalize(x, dim=1) for x in (first, second, self.stem.layer2(second))]

    def forward(self, decoded: Tensor, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._features(pixels)
        pairs = zip(self._features(decoded), wanted, strict=True)
        return sum((a - b).square().sum(1).mean() for a, b in pairs)


def pixel_loss(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Absolute error of pixels, gradients at two scales, and the mean colour of latent cells."""
    difference = decoded - pixels
    loss = difference.abs().mean() + 4 * F.avg_pool2d(difference, 8).square().mean()
    for scale in (difference, F.avg_pool2d(difference, 2)):
        loss = loss + 0.5 * (scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean())
    return loss


def _balance(first: Tensor, second: Tensor, weight: Tensor, ratio: float) -> Tensor:
    """The factor that makes the gradient of `second` at `weight` `ratio` times the first's."""
    norms = [torch.autograd.grad(x, weight, retain_graph=True)[0].norm() for x in (first, second)]
    return (ratio * norms[0] / (norms[1] + 1e-6)).clamp(max=10).detach()


def train_photo_decoder(
    recipe: dict[str, Any],
    seed: int,
    vae,
    parser: BiSeNet,
    sources: Sources,
    folder: Path,
    device: torch.device | str = "cpu",
) -> None:
    """Train the decoder further, in place; it ends with its averaged weights."""
    torch.manual_seed(seed)
    vae.to(device, memory_format=torch.channels_last).requires_grad_(True)
    decoder = nn.ModuleDict({"quant": vae.post_quant_conv, "decoder": vae.decoder})
    perceptual = PerceptualLoss(parser).to(device)
    discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last)
    average = AveragedWeights(decoder, 0.995)
    rate = recipe["learning_rate"]
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=rate, betas=(0.8, 0.99))
    judge = torch.optim.AdamW(discriminator.parameters(), lr=rate, betas=(0.5, 0.99))
    run = Run(folder, "photo_decoder", recipe["steps"], save_every=50)

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 8, step])
        pixels = draw_crops(sources, recipe, rng).to(device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with autocast(device):
            with torch.no_grad():
                latents = vae.encode(pixels).latent_dist.mode()
            decoded = vae.decode(latents).sample
        decoded = decoded.float()
        likeness = perceptual(decoded, pixels)
        loss = pixel_loss(decoded, pixels) + recipe["perceptual"] * likeness
        figures = {"perceptual": likeness.item(), "psnr": psnr(decoded.detach(), pixels)}
        if step >= recipe["adversarial_from"]:
            realism = -discriminator(decoded).mean()
            last = vae.decoder.conv_out.weight
            loss = loss + _balance(loss, realism, last, recipe["adversarial"]) * realism
        fraction = trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate * fraction, decoder.parameters())
        average.update(decoder)
        if step >= recipe["adversarial_from"] // 2:
            scores = discriminator(pixels), discriminator(decoded.detach())
            told = hinge_loss(*scores)
            optimizer_step(told, judge, rate * fraction, discriminator.parameters(), 10.0)
            figures |= {"told": told.item()}
        return {"loss": loss.item(), **figures}

    parts = {
        "decoder": decoder,
        "average": average,
        "optimizer": optimizer,
        "discriminator": discriminator,
        "judge": judge,
    }
    train(run, parts, take_step)
    decoder.load_state_dict(average.weights)
    vae.eval().requires_grad_(False)
