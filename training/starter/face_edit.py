"""Stage: the face-edit file, made by `training.face_edit` on the starter's own portraits."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ...engines.diffusers import DiffusersEngine
from ...engines.diffusers.training import make_trainable
from ...engines.trainable import hash_weights
from ...models.face_edit import read_face_edit
from ...world.captions import write_prompts
from ..face_edit.config import FaceEditConfig
from ..face_edit.trainer import train_face_edit
from .dataset import PortraitSet
from .inpainting import PARTS
from .networks import build_scheduler

RARE = {"hair": ("red", "grey", "white"), "skin": ("brown", "dark")}


@dataclass(frozen=True)
class _Picture:
    """An example: a portrait, the preset that is repainted, and its captions."""

    name: str
    index: int
    parts: str
    captions: list[str]


def choose_pictures(facts: list[dict]) -> Iterator[_Picture]:
    """Yield each portrait with its face to repaint, again with its hair, and rare ones once more.

    Ordinary captions seldom name hair or skin, and few people have the rare colours. Prompts that
    name one thing each, and more examples of these people, teach the words.
    """
    for index, fact in enumerate(facts):
        captions, traits, prompts = fact["captions"], fact["traits"], write_prompts(fact["traits"])
        bare_head = traits["hat"] == "none"
        of_face = [text for trait, text in prompts.items() if trait != "hair"]
        yield _Picture(f"{index:05}", index, "face", [*captions, *of_face])
        if "hair" in prompts and bare_head:
            naming = [text for text in captions if f"{traits['hair']} hair" in text]
            hair = [prompts["hair"], *naming]
            yield _Picture(f"{index:05}_hair", index, "face and hair", hair)
        rare = [
            prompts[trait]
            for trait, looks in RARE.items()
            if trait in prompts and traits[trait] in looks
        ]
        if rare and bare_head:
            yield _Picture(f"{index:05}_rare", index, "face and hair", rare)


def write_pictures(portraits: PortraitSet, folder: Path) -> None:
    """Write the examples that are missing, as pictures with masks and captions."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = list(choose_pictures(portraits.facts))
    for picture in tqdm(chosen, desc="write pictures", mininterval=5):
        text = folder / f"{picture.name}.txt"
        if text.exists():
            continue
        mask = np.isin(portraits.labels[picture.index], PARTS[picture.parts]).astype(np.uint8) * 255
        Image.fromarray(portraits.images[picture.index]).save(folder / f"{picture.name}.png")
        Image.fromarray(mask).save(folder / f"{picture.name}.mask.png")
        # Written last and by rename: an example with captions is complete.
        temporary = text.with_suffix(".part")
        temporary.write_text("\n".join(picture.captions), encoding="utf-8")
        os.replace(temporary, text)


def train_starter_face_edit(
    recipe: dict[str, Any],
    size: int,
    tokenizer,
    text_encoder,
    vae,
    unet,
    portraits: PortraitSet,
    folder: Path,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train attn2's to_k and to_v and the adapter; return the K/V differences and the adapter.

    recipe holds settings of `FaceEditConfig`.
    """
    write_pictures(portraits, folder / "face_edit_pictures")
    scheduler = dict(build_scheduler().config)
    engine = DiffusersEngine(copy.deepcopy(unet), vae, text_encoder, tokenizer, scheduler)
    result, _ = train_face_edit(
        make_trainable(engine, scheduler, hash_weights(unet.state_dict())),
        folder / "face_edit_pictures",
        FaceEditConfig.from_dict({**recipe, "size": size}),
        folder / "face_edit",
        resume=True,
    )
    weights = read_face_edit(result)
    return weights.kv, weights.adapter
