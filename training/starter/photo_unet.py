"""Stage: the UNet, trained further on photographs, at larger sizes, and on drawn portraits.

Examples are views of photographs and of drawn portraits. They are encoded in chunks when first
needed and used a few times each: there are always new views, and no step waits long for them. The
face edit's K/V differences and text adapter, trained before and frozen, are active in half of the
steps, so that the UNet continues to fit them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...engines.diffusers.initialise import use_plain_attention
from ...models.face_edit import FaceEditWeights
from ...techniques.soft_inpaint import inpaint_condition
from ...techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from ...world.identity import SKIN_NAMES
from ..loop import AveragedWeights, Run, optimizer_step, train, trapezoid_rate
from ..muon import MuonWithAdamW
from ..precision import autocast
from .dataset import PortraitSet
from .inpainting import LatentSet, encoder_digest, random_mask, random_view
from .networks import LATENT_SCALE, build_scheduler
from .photo_captions import captions_of
from .photo_views import photo_view
from .photographs import Photograph
from .skin_tones import captions_of_tone, named_tone, other_tones, repaint_skin
from .tokenizer import tokenize
from .unet import noise_examples

CHUNK = 128
ENCODED_AT_ONCE = 16
HELD_OUT = 64


class Shares(NamedTuple):
    """Probabilities that a view is of a drawn portrait, and that its face has another skin."""

    drawn: float
    other_skin: float


@dataclass(frozen=True)
class Pictures:
    """The pictures that views are cut from: photographs with face maps, then drawn portraits."""

    photographs: Sequence[Photograph]
    maps: dict[str, np.ndarray]
    drawings: PortraitSet

    @cached_property
    def own_captions(self) -> list[list[str]]:
        """The captions of every picture, photographs first."""
        photos = [captions_of(photo.labels, photo.file) for photo in self.photographs]
        return photos + [fact["captions"] for fact in self.drawings.facts]

    def captions(self) -> list[list[str]]:
        """The captions by number: of every picture, then of every picture in each tone of skin."""
        tones = [captions_of_tone(own, tone) for tone in SKIN_NAMES for own in self.own_captions]
        return self.own_captions + tones

    def draw(self, shares: Shares, size: int, rng: np.random.Generator):
        """Draw a view [size, size, 3], its class map, and the number of its captions."""
        if rng.random() < shares.drawn:
            index = int(rng.integers(len(self.drawings.images)))
            view, labels = random_view(self.drawings, index, size, rng)
            index += len(self.photographs)
        else:
            index = int(rng.integers(len(self.photographs)))
            photo = self.photographs[index]
            view, labels = photo_view(photo.image, self.maps[photo.file], size, rng)
        own = named_tone(self.own_captions[index])
        if own is None or rng.random() >= shares.other_skin:
            return view, labels, index
        tone = str(rng.choice(other_tones(own)))
        index += (1 + SKIN_NAMES.index(tone)) * len(self.own_captions)
        return repaint_skin(view, labels, own, tone), labels, index


@torch.no_grad()
def encode_chunk(
    vae, pictures: Pictures, shares: Shares, size: int, count: int, rng: np.random.Generator
) -> LatentSet:
    """Encode `count` views with a mask each, on the autoencoder's device."""

    def encode(image: Tensor) -> Tensor:
        pixels = (image * 2 - 1).movedim(-1, 1).to(vae.device)
        with autocast(vae.device):
            latents = vae.encode(pixels.contiguous(memory_format=torch.channels_last))
        return latents.latent_dist.mode().float().cpu()

    latents, concats, owners = [], [], []
    for start in range(0, count, ENCODED_AT_ONCE):
        at_once = min(ENCODED_AT_ONCE, count - start)
        drawn = [pictures.draw(shares, size, rng) for _ in range(at_once)]
        views, maps, numbers = zip(*drawn, strict=True)
        masks = np.stack([random_mask(labels, rng) for labels in maps])
        image = torch.from_numpy(np.stack(views)).float() / 255
        condition = inpaint_condition(image, torch.from_numpy(masks), encode, LATENT_SCALE)
        latents.append((condition.latent * LATENT_SCALE).half())
        concats.append(condition.concat.half())
        owners.append(torch.tensor(numbers))
    return LatentSet(torch.cat(latents), torch.cat(concats), torch.cat(owners))


def kept_chunks(
    folder: Path, encode: Callable[[int, int], LatentSet], digest: str, window: int
) -> Callable[[int, int], LatentSet]:
    """Return `encode` with the last `window` chunks kept in `folder`, for a quick resume.

    digest: the encoder's; chunks of another encoder or size are encoded again.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def make(number: int, size: int) -> LatentSet:
        path, made_from = folder / f"{number}.pt", f"{size} px, autoencoder {digest}"
        if path.exists():
            kept = torch.load(path, weights_only=True)
            if kept.pop("made_from") == made_from:
                return LatentSet(**kept)
        chunk = encode(number, size)
        temporary = path.with_suffix(".part")
        torch.save({**chunk.state(), "made_from": made_from}, temporary)
        os.replace(temporary, path)
        (folder / f"{number - window}.pt").unlink(missing_ok=True)
        return chunk

    return make


class ExampleStream:
    """The examples that a step chooses from: the newest `window` chunks of the step's size.

    make(number, size) encodes a chunk. A new chunk is made every CHUNK * reuse / batch steps, so
    that an example is used `reuse` times on average. A step's examples depend on the step alone, so
    a resumed run sees the same ones.
    """

    def __init__(
        self, make: Callable[[int, int], LatentSet], recipe: dict[str, Any], batch: int
    ) -> None:
        self.make = make
        self.sizes = [(int(first), int(size)) for first, size in recipe["sizes"]]
        self.every = max(1, round(CHUNK * recipe["reuse"] / batch))
        self.window = recipe["window"]
        self.chunks: dict[int, LatentSet] = {}
        self.joined: LatentSet | None = None

    def size_at(self, step: int) -> int:
        """The pictures' size at a step."""
        return [size for first, size in self.sizes if first <= step][-1]

    def at(self, step: int) -> LatentSet:
        """The examples of a step."""
        newest = step // self.every
        size = self.size_at(newest * self.every)
        wanted = [
            number
            for number in range(max(0, newest - self.window + 1), newest + 1)
            if self.size_at(number * self.every) == size
        ]
        if list(self.chunks) != wanted:
            self.chunks = {n: self.chunks.get(n) or self.make(n, size) for n in wanted}
            kept = list(self.chunks.values())
            self.joined = LatentSet(
                torch.cat([chunk.latents for chunk in kept]),
                torch.cat([chunk.concat for chunk in kept]),
                torch.cat([chunk.portrait for chunk in kept]),
            )
        return self.joined


def debiased_weight(scheduler, timesteps: Tensor) -> Tensor:
    """Return 1 / sqrt(SNR) [B, 1, 1, 1], which strengthens the noisy steps that decide a layout.

    Yu et al., "Unmasking Bias in Diffusion Model Training", ECCV 2024.
    """
    alphas = scheduler.alphas_cumprod[timesteps]
    return ((1 - alphas) / alphas).sqrt()[:, None, None, None]


class FaceEditSwitch:
    """Applies a face-edit file to a UNet in training while `on` is True."""

    def __init__(self, unet: nn.Module, weights: FaceEditWeights, strength: float) -> None:
        self.on = False
        self.strength = strength
        self.adapter = FaceAwareTextAdapter.from_weights(weights.adapter)
        for name, delta in weights.kv.items():
            layer = unet.get_submodule(name.removesuffix(".weight"))
            layer.register_forward_hook(self._adding(delta.float()))

    def _adding(self, delta: Tensor):
        def add(_layer, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not self.on:
                return output
            return output + F.linear(inputs[0], delta.to(inputs[0]))

        return add

    def text(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """The embedding [B, T, d] that the UNet should be given with masks [B, h, w]."""
        return adapt_text(embedding, mask, self.adapter, self.strength) if self.on else embedding


def train_photo_unet(
    recipe: dict[str, Any],
    seed: int,
    tokenizer,
    text_encoder,
    vae,
    pictures: Pictures,
    held_out: Pictures,
    unet,
    face_edit: FaceEditWeights,
    adapter_strength: float,
    folder: Path,
    device: torch.device | str = "cpu",
):
    """Train `unet` further and return it with its averaged weights."""
    torch.manual_seed(seed)
    unet = unet.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
    if torch.device(device).type == "cpu":
        use_plain_attention(unet)
    for part in (vae, text_encoder):
        part.to(device).eval().requires_grad_(False)
    switch = FaceEditSwitch(unet, face_edit, adapter_strength)
    scheduler = build_scheduler()
    average = AveragedWeights(unet, recipe["ema"])
    # At step 4,000 of the starter, 125 steps of Muon gained what AdamW gained in a thousand.
    optimizer = MuonWithAdamW(unet.parameters(), lr=0.0)
    run = Run(folder, "photo_unet", recipe["steps"], save_every=recipe["save_every"])

    shares = Shares(recipe["drawn"], recipe["other_skin"])

    def encode(number: int, size: int) -> LatentSet:
        rng = np.random.default_rng([seed, 9, number])
        return encode_chunk(vae, pictures, shares, size, CHUNK, rng)

    make = kept_chunks(folder / "photo_examples", encode, encoder_digest(vae), recipe["window"])
    stream = ExampleStream(make, recipe, recipe["batch"])
    captions, unseen = pictures.captions(), held_out.own_captions
    rng = np.random.default_rng([seed, 10])
    measured = encode_chunk(vae, held_out, Shares(0.0, 0.0), stream.sizes[-1][1], HELD_OUT, rng)

    def predict(shown: Tensor, timesteps: Tensor, texts: list[str]) -> Tensor:
        with autocast(device):
            with torch.no_grad():
                ids = tokenize(tokenizer, texts).to(device)
                text = text_encoder(input_ids=ids).last_hidden_state
                text = switch.text(text.float(), shown[:, 4])
            shown = shown.contiguous(memory_format=torch.channels_last)
            return unet(shown, timesteps, text, return_dict=False)[0].float()

    @torch.no_grad()
    def held_out_error() -> float:
        """Mean squared error of the averaged weights on held-out photographs, no face edit."""
        switch.on = False
        errors = []
        with average.applied_to(unet):
            for part in range(HELD_OUT // 8):
                owners, shown, noise, timesteps = noise_examples(measured, 8, part, seed, scheduler)
                texts = [unseen[int(owner)][0] for owner in owners]
                predicted = predict(shown.to(device), timesteps.to(device), texts)
                errors.append((predicted - noise.to(device)).square().mean().item())
        return float(np.mean(errors))

    def caption(number: int, rng: np.random.Generator) -> str:
        # Without words nothing tells of another skin: such views always have theirs.
        own = number < len(pictures.own_captions)
        if own and rng.random() < recipe["caption_dropout"]:
            return ""
        return str(rng.choice(captions[number]))

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, 11, step])
        owners, shown, noise, timesteps = noise_examples(
            stream.at(step), recipe["batch"], step, seed, scheduler
        )
        texts = [caption(int(number), rng) for number in owners]
        switch.on = bool(rng.random() < 0.5)
        shown, noise = shown.to(device), noise.to(device)
        predicted = predict(shown, timesteps.to(device), texts)
        weight = debiased_weight(scheduler, timesteps).to(device)
        # Outside the mask the input holds the answer, so the loss counts mostly inside.
        weight = weight * (0.25 + shown[:, 4:5])
        loss = (weight * (predicted - noise).square()).mean()
        rate = recipe["learning_rate"] * trapezoid_rate(step, run.steps)
        optimizer_step(loss, optimizer, rate, unet.parameters())
        average.update(unet)
        figures = {"loss": loss.item(), "mse": (predicted - noise).square().mean().item()}
        if step % recipe["measure_every"] == 0:
            figures["held_out_mse"] = held_out_error()
        return figures

    train(run, {"unet": unet, "average": average, "optimizer": optimizer}, take_step)
    unet.load_state_dict(average.weights)
    return unet.eval()
