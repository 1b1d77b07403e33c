"""Latents and text embeddings of the training data, computed once and kept on disk.

Each picture and each caption has a file of its own, named by the hash of everything that it depends
on: after a change only what depends on it is computed again. Several processes share the work.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm

from ...engines.trainable import TrainableModel, hash_weights
from ...models.checkpoints import read_weights, write_weights
from ...models.face_parser import FaceParser
from ...techniques.soft_inpaint import inpaint_condition
from ...techniques.soft_mask import soften
from .config import FaceEditConfig
from .dataset import BadExample, Example, load_example

CAPTIONS_AT_ONCE = 16
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedExample:
    """Where a picture's latents and its captions' embeddings lie, and which captions they are."""

    name: str
    latents: Path
    captions: tuple[str, ...]
    texts: tuple[Path, ...]


@dataclass(frozen=True)
class Cache:
    """The cached examples, the embedding of the empty caption, and lines about the bad ones."""

    examples: list[CachedExample]
    empty_text: Path
    problems: list[str]

    @property
    def key(self) -> str:
        """SHA-256 of all that is trained on."""
        names = [str(path.name) for item in self.examples for path in (item.latents, *item.texts)]
        return hashlib.sha256(" ".join(names).encode()).hexdigest()


@torch.no_grad()
def fill_cache(
    examples: list[Example],
    model: TrainableModel,
    config: FaceEditConfig,
    folder: Path,
    accelerator: Accelerator,
    parser: FaceParser | None = None,
) -> Cache:
    """Encode what is not in `folder` yet and return the usable examples, in their order.

    A bad example is left out with one logged line. Raises ValueError for a bad example when
    `config.bad_data` is "stop", and when no example can be used.
    """
    parser_key = hash_weights(parser.network.state_dict()) if parser else ""
    own = range(accelerator.process_index, len(examples), accelerator.num_processes)
    bar = tqdm(own, desc="encode", disable=not accelerator.is_main_process, mininterval=2)
    with model.encoders(accelerator.device):
        results = []
        for index in bar:
            try:
                path = _encode(examples[index], model, config, folder, parser, parser_key)
                results.append((index, path))
            except BadExample as error:
                results.append((index, str(error)))
        if accelerator.num_processes > 1:
            results = gather_object(results)
        results = dict(results)
        good = [index for index in sorted(results) if isinstance(results[index], Path)]
        problems = [results[index] for index in sorted(results) if index not in set(good)]
        if problems and config.bad_data == "stop":
            raise ValueError(problems[0])
        if accelerator.is_main_process:
            for line in problems:
                log.warning("left out: %s", line)
        if examples and not good:
            raise ValueError(f"None of {len(examples)} examples can be used; {problems[0]}")
        captions = {text for index in good for text in examples[index].captions} | {""}
        texts = _encode_texts(sorted(captions), model, folder, accelerator)
    accelerator.wait_for_everyone()
    cached = [
        CachedExample(
            examples[index].name,
            results[index],
            examples[index].captions,
            tuple(texts[text] for text in examples[index].captions),
        )
        for index in good
    ]
    return Cache(cached, texts[""], problems)


def read_latents(example: CachedExample) -> dict[str, Tensor]:
    """Scaled latents `pictures` and `masked` [2, 4, h, w], plain and mirrored; mask [1, h, w]."""
    return {name: value.float() for name, value in read_weights(example.latents).items()}


def read_text(path: Path) -> Tensor:
    """An embedding [T, width]."""
    return read_weights(path)["text"].float()


def _encode(
    example: Example,
    model: TrainableModel,
    config: FaceEditConfig,
    folder: Path,
    parser: FaceParser | None,
    parser_key: str,
) -> Path:
    """Return the file of a picture's latents, writing it if it is missing."""
    if example.problem:
        raise BadExample(example.problem)
    settings = f"2 {config.size} {config.mask_sigma} {model.vae_key} {model.latent_scale}"
    if not example.masks:
        settings += f" {config.parts} {parser_key}"
    path = _place(folder / "latents", example.content_key(settings))
    if path.exists():
        return path
    image, mask = load_example(example, config.size, config.parts, parser)
    mask = soften(mask[None], config.mask_sigma)
    image, mask = image[None], mask
    both = torch.cat((image, image.flip(2))), torch.cat((mask, mask.flip(2)))
    # A soft mask is passed on with its own values, as in the edit itself.
    condition = inpaint_condition(*both, model.encode, model.latent_scale)
    tensors = {
        "pictures": (condition.latent * model.latent_scale).half(),
        "masked": condition.concat[:, 1:].half(),
        "mask": condition.latent_mask[0].half(),
    }
    write_weights(path, tensors, {"name": example.name}, overwrite=True)
    return path


def _encode_texts(
    captions: list[str], model: TrainableModel, folder: Path, accelerator: Accelerator
) -> dict[str, Path]:
    """Return the file of each caption's embedding; the processes divide the writing."""
    places = {
        text: _place(
            folder / "texts", hashlib.sha256(f"1 {model.text_key} {text}".encode()).hexdigest()
        )
        for text in captions
    }
    own = captions[accelerator.process_index :: accelerator.num_processes]
    missing = [text for text in own if not places[text].exists()]
    # The paper trains on one window of the text encoder (77 tokens).
    length = model.encode_text([""]).shape[1]
    starts = range(0, len(missing), CAPTIONS_AT_ONCE)
    for start in tqdm(starts, desc="captions", disable=not _shown(starts, accelerator)):
        part = missing[start : start + CAPTIONS_AT_ONCE]
        for text, embedding in zip(part, model.encode_text(part), strict=True):
            tensors = {"text": embedding[:length].half()}
            write_weights(places[text], tensors, {"caption": text}, overwrite=True)
    return places


def _shown(work: Iterable, accelerator: Accelerator) -> bool:
    return accelerator.is_main_process and bool(work)


def _place(folder: Path, key: str) -> Path:
    """The file of a key, in one of 256 folders: a folder of a hundred thousand files is slow."""
    return folder / key[:2] / f"{key}.safetensors"
