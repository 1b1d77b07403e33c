"""The starter's training pictures, rendered once into memory-mapped arrays for all stages."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...world import portrait
from ...world.parallel import draw_in_parallel

CHUNK = 50
# Colour photographs without people that scikit-image bundles; no other ones are trained on.
TRAINING_PHOTOGRAPHS = (
    "rocket",
    "retina",
    "hubble_deep_field",
    "immunohistochemistry",
    "chelsea",
    "stereo_motorcycle",
)


@dataclass(frozen=True)
class PortraitSet:
    """Rendered portraits of one split.

    images: uint8 [N, S, S, 3]; labels: uint8 [N, S, S]; facts: one dictionary a portrait with
    captions, attributes, traits, identity and style.
    """

    images: np.ndarray
    labels: np.ndarray
    facts: list[dict]


def _render_chunk(job: tuple[str, int, int, int]):
    split, start, stop, size = job
    rendered = [portrait(index, size=size, split=split) for index in range(start, stop)]
    facts = [
        {
            "captions": p.captions,
            "attributes": p.attributes,
            "traits": p.traits,
            "identity": int(p.identity_id),
            "style": p.style,
        }
        for p in rendered
    ]
    return start, [p.image for p in rendered], [p.labels for p in rendered], facts


def render_set(folder: Path, split: str, count: int, size: int, workers: int = 2) -> None:
    """Render `count` portraits of `split` into `folder`; finished chunks are kept."""
    parts = folder / f"{split}_parts"
    parts.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, CHUNK)
    jobs = [
        (split, start, min(start + CHUNK, count), size)
        for start in starts
        if not (parts / f"{start}.npz").exists()
    ]
    drawn = draw_in_parallel(_render_chunk, jobs, workers)
    for start, images, labels, facts in tqdm(
        drawn, total=len(jobs), desc=f"render {split}", mininterval=5
    ):
        temporary = parts / f"{start}.part"
        with temporary.open("wb") as file:
            np.savez(file, images=images, labels=labels, facts=json.dumps(facts))
        os.replace(temporary, parts / f"{start}.npz")


def load_set(folder: Path, split: str, count: int) -> PortraitSet:
    """Return the portraits that `render_set` wrote."""
    images, labels, facts = [], [], []
    for start in range(0, count, CHUNK):
        with np.load(folder / f"{split}_parts" / f"{start}.npz") as part:
            images.append(part["images"])
            labels.append(part["labels"])
            facts += json.loads(str(part["facts"]))
    return PortraitSet(np.concatenate(images), np.concatenate(labels), facts)


def photographs() -> list[np.ndarray]:
    """Return scikit-image's bundled training photographs, uint8 [H, W, 3]."""
    import skimage.data

    pictures = []
    for name in TRAINING_PHOTOGRAPHS:
        loaded = getattr(skimage.data, name)()
        for picture in loaded[:2] if isinstance(loaded, tuple) else (loaded,):
            colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
            pictures.append(np.ascontiguousarray(colour[..., :3]))
    return pictures
