"""Stage: the face-edit file, by the same trainer as everybody's, on the starter's own portraits."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ...engines.diffusers import DiffusersEngine
from ...engines.diffusers_training import make_trainable
from ...engines.trainable import hash_weights
from ...models.face_edit import read_face_edit
from ..face_edit.config import FaceEditConfig
from ..face_edit.trainer import train_face_edit
from ..world.labels import FACE
from .dataset import PortraitSet
from .networks import build_scheduler


def write_pictures(portraits: PortraitSet, folder: Path) -> None:
    """Write portraits as pictures with masks and captions, those that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, facts in enumerate(tqdm(portraits.facts, desc="write pictures", mininterval=5)):
        text = folder / f"{index:05}.txt"
        if text.exists():
            continue
        mask = np.isin(portraits.labels[index], FACE).astype(np.uint8) * 255
        Image.fromarray(portraits.images[index]).save(folder / f"{index:05}.png")
        Image.fromarray(mask).save(folder / f"{index:05}.mask.png")
        # The caption comes last, under another name first: where it is, all is there.
        temporary = text.with_suffix(".part")
        temporary.write_text("\n".join(facts["captions"]), encoding="utf-8")
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
    """Train attn2's to_k and to_v and the adapter; returns K/V differences and the adapter.

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
