"""Stage: the autoencoder, trained further on photographs, drawings and paintings for sharpness.

The loss of pictures is absolute error, gradients, the colour of each latent cell, features of the
starter's own face parser (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", equation 1, with unit weights), and later a patch discriminator with the hinge
loss, weighted by the ratio of the gradients at the last layer (Esser et al., "Taming Transformers
for High-Resolution Image Synthesis", equation 7). Eyes, brows and mouths count more than the rest.

The encoder learns too. An anchor keeps its latents near the previous ones, so that networks which
learned from them need little further training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ...models.bisenet import BiSeNet
from ...models.face_classes import CLASSES, PRESETS
from ...models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from ..loop import AveragedWeights, Run, optimizer_step, step_generator, train, trapezoid_rate
from ..muon import MuonWithAdamW
from ..precision import autocast
from .augment import jitter_colour
from .networks import LATENT_SCALE
from .photographs import Photograph
from .vae import psnr

# Scale at which a picture of each kind is shown; a crop is cut from that.
SCALES = {"photographs": (0.32, 0.85), "drawings": (0.5, 1.0), "paintings": (0.2, 0.7)}


DETAIL_PARTS = ("left_brow", "right_brow", *PRESETS["eyes"], *PRESETS["lips"], "mouth")
DETAILS = [CLASSES.index(name) for name in DETAIL_PARTS]


class Drawn(NamedTuple):
    """A picture uint8 [H, W, 3], its class map [h, w] if it has one, its crop's place (0..1) and
    its kind."""

    picture: np.ndarray
    labels: np.ndarray | None
    place: np.ndarray
    kind: str


@dataclass(frozen=True)
class Sources:
    """The pictures that are cropped, uint8 [H, W, 3]; a kind without pictures is left out.

    maps: class maps of photographs by file name; drawn_labels: those of the drawings, in order.
    """

    photographs: Sequence[Photograph]
    drawings: np.ndarray
    paintings: Sequence[np.ndarray]
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
    drawn_labels: np.ndarray | None = None

    def draw(self, fractions: dict[str, float], rng: np.random.Generator) -> Drawn:
        """Draw a picture and the place of its crop."""
        there = {kind: fraction for kind, fraction in fractions.items() if len(getattr(self, kind))}
        odds = np.array(list(there.values())) / sum(there.values())
        kind = str(rng.choice(list(there), p=odds))
        place = rng.random(2)
        number = int(rng.integers(len(getattr(self, kind))))
        if kind == "photographs":
            # In portraits the face is near the middle.
            place = rng.normal(0.5, 0.2, 2).clip(0, 1)
            photo = self.photographs[number]
            return Drawn(photo.image, self.maps.get(photo.file), place, kind)
        if kind == "drawings":
            labels = None if self.drawn_labels is None else self.drawn_labels[number]
            return Drawn(self.drawings[number], labels, place, kind)
        return Drawn(self.paintings[number], None, place, kind)


def crop_around(picture: np.ndarray, place, size: int, scale: float) -> np.ndarray:
    """Cut a square of `size` pixels out of `picture` shrunk by `scale`, centred near `place`."""
    side = min(max(size, round(size / scale)), *picture.shape[:2])
    top, left = (
        int(np.clip(round(fraction * length - side / 2), 0, length - side))
        for fraction, length in zip(place, picture.shape[:2], strict=True)
    )
    view = picture[top : top + side, left : left + side]
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def draw_crops(
    sources: Sources, recipe: dict[str, Any], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return crops [B, 3, S, S] in -1..1 and the weights [B, 1, S, S] of their pixels.

    Pixels weigh 1, those of eyes, brows and lips `recipe["details"]`.
    """
    crops, weights = [], []
    size = recipe["crop"]
    for _ in range(recipe["batch"]):
        picture, labels, place, kind = sources.draw(recipe["shares"], rng)
        scale = float(np.exp(rng.uniform(*np.log(SCALES[kind]))))
        crop = crop_around(picture, place, size, scale)
        weight = np.ones((size, size), np.float32)
        if labels is not None:
            detail = np.isin(labels, DETAILS).astype(np.uint8)
            whole = cv2.resize(detail, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            there = crop_around(whole.astype(np.float32), place, size, scale)
            weight += (recipe["details"] - 1) * there
        if rng.random() < 0.5:
            crop, weight = crop[:, ::-1], weight[:, ::-1]
        crops.append(jitter_colour(crop.astype(np.float32) / 255, rng, 0.3))
        weights.append(weight)
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) * 2 - 1
    return pixels, torch.from_numpy(np.stack(weights))[:, None]


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


def pixel_loss(decoded: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Absolute error of pixels by their weights [B, 1, S, S], gradients at two scales, and the
    mean colour of latent cells.
    """
    difference = decoded - pixels
    loss = (weights * difference.abs()).mean() + 4 * F.avg_pool2d(difference, 8).square().mean()
    for scale in (difference, F.avg_pool2d(difference, 2)):
        loss = loss + 0.5 * (scale.diff(dim=2).abs().mean() + scale.diff(dim=3).abs().mean())
    return loss


def _balance(first: Tensor, second: Tensor, weight: Tensor, ratio: float) -> Tensor:
    """The factor that makes the gradient of `second` at `weight` `ratio` times the first's."""
    norms = [torch.autograd.grad(x, weight, retain_graph=True)[0].norm() for x in (first, second)]
    return (ratio * norms[0] / (norms[1] + 1e-6)).clamp(max=10).detach()


def train_photo_vae(
    recipe: dict[str, Any],
    seed: int,
    vae,
    parser: BiSeNet,
    sources: Sources,
    folder: Path,
    device: torch.device | str = "cpu",
) -> None:
    """Train the autoencoder further, in place; it ends with its averaged weights."""
    torch.manual_seed(seed)
    before = copy.deepcopy(vae)
    before.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    vae.to(device, memory_format=torch.channels_last).requires_grad_(True)
    perceptual = PerceptualLoss(parser).to(device)
    discriminator = PatchDiscriminator().to(device, memory_format=torch.channels_last)
    average = AveragedWeights(vae, 0.995)
    rate = recipe["learning_rate"]
    optimizer = MuonWithAdamW(vae.parameters(), lr=0.0)
    judge = torch.optim.AdamW(discriminator.parameters(), lr=rate, betas=(0.5, 0.99))
    run = Run(folder, "photo_vae", recipe["steps"], save_every=50)

    def encode_decode(pixels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The decoded pictures, and how far the latents are from the previous ones."""
        with autocast(device):
            latents = vae.encode(pixels).latent_dist.mode()
            with torch.no_grad():
                own = before.encode(pixels).latent_dist.mode()
            # A UNet's latents are never exact: what small changes of them destroy is of no use.
            noise = torch.randn(latents.shape, generator=step_generator(seed, step)).to(latents)
            noisy = latents + recipe["latent_noise"] / LATENT_SCALE * noise
            decoded = vae.decode(noisy).sample
        moved = LATENT_SCALE * (latents.float() - own.float())
        return decoded.float(), moved.square().mean()

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 8, step])
        pixels, weights = (part.to(device) for part in draw_crops(sources, recipe, rng))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        decoded, moved = encode_decode(pixels, step)
        likeness = perceptual(decoded, pixels)
        loss = pixel_loss(decoded, pixels, weights) + recipe["perceptual"] * likeness
        figures = {"perceptual": likeness.item(), "psnr": psnr(decoded.detach(), pixels)}
        if step >= recipe["adversarial_from"]:
            realism = -discriminator(decoded).mean()
            last = vae.decoder.conv_out.weight
            loss = loss + _balance(loss, realism, last, recipe["adversarial"]) * realism
        loss = loss + recipe["anchor"] * moved
        fraction = trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate * fraction, vae.parameters())
        average.update(vae)
        if step >= recipe["adversarial_from"] // 2:
            scores = discriminator(pixels), discriminator(decoded.detach())
            told = hinge_loss(*scores)
            optimizer_step(told, judge, rate * fraction, discriminator.parameters(), 10.0)
            figures |= {"told": told.item()}
        return {"loss": loss.item(), "moved": moved.item(), **figures}

    parts = {
        "vae": vae,
        "average": average,
        "optimizer": optimizer,
        "discriminator": discriminator,
        "judge": judge,
    }
    train(run, parts, take_step)
    vae.load_state_dict(average.weights)
    vae.eval().requires_grad_(False)
