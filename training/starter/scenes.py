"""Rendered scenes of several people, kept in the work folder like the portraits."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...world import scene
from ...world.parallel import draw_in_parallel

CHUNK = 20


@dataclass(frozen=True)
class SceneSet:
    """Rendered scenes: images uint8 [N, S, S, 3] and people bool [N, S, S], where somebody is.

    faces holds for each scene a list of dictionaries with box (x, y, w, h) and landmarks [5, 2] in
    pixels, and visible in 0..1.
    """

    images: np.ndarray
    people: np.ndarray
    faces: list[list[dict]]


def _render_chunk(job: tuple[int, int, int]):
    start, stop, size = job
    scenes = [scene(index, size=size) for index in range(start, stop)]
    faces = [
        [
            {"box": f.box, "landmarks": f.landmarks.tolist(), "visible": float(f.visible)}
            for f in s.faces
        ]
        for s in scenes
    ]
    return start, [s.image for s in scenes], [s.owners > 0 for s in scenes], faces


def render_scenes(folder: Path, count: int, size: int, workers: int = 2) -> None:
    """Render the first `count` training scenes; finished chunks are kept."""
    parts = folder / "scene_parts"
    parts.mkdir(parents=True, exist_ok=True)
    starts = [s for s in range(0, count, CHUNK) if not (parts / f"{s}.npz").exists()]
    jobs = [(s, min(s + CHUNK, count), size) for s in starts]
    drawn = draw_in_parallel(_render_chunk, jobs, workers)
    for start, images, people, faces in tqdm(
        drawn, total=len(jobs), desc="render scenes", mininterval=5
    ):
        temporary = parts / f"{start}.part"
        with temporary.open("wb") as file:
            np.savez_compressed(file, images=images, people=people, faces=json.dumps(faces))
        os.replace(temporary, parts / f"{start}.npz")


def load_scenes(folder: Path, count: int) -> SceneSet:
    """Return the scenes that `render_scenes` wrote."""
    images, people, faces = [], [], []
    for start in range(0, count, CHUNK):
        with np.load(folder / "scene_parts" / f"{start}.npz") as part:
            images.append(part["images"])
            people.append(part["people"])
            faces += json.loads(str(part["faces"]))
    return SceneSet(np.concatenate(images), np.concatenate(people), faces)
