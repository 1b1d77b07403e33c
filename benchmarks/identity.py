"""How much the mosaic and each part of the guard keep of the person, over the host alone.

Held-out drawn scenes with small faces are restyled by the starter after paintings of other people;
see `evaluation.identity`. A table is printed to stderr, beside the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

from ..engines.diffusers import DiffusersEngine
from ..engines.image_encoder import ImageEncoder
from ..evaluation.identity import (
    BUCKETS,
    Ablation,
    Distances,
    Parts,
    ablation,
    bucket,
    paired_gain,
)
from ..models.face_analyzer import starter_analyzer
from ..models.starter_files import STARTER
from ..techniques.style_score import style_score
from . import say

SCENES, QUICK_SCENES = 300, 3
# Rows that measure a single part are run on this many scenes.
PART_SCENES = 30


def run(quick: bool, samples: int | None = None) -> dict[str, float]:
    """Measure all figures, by name, over `samples` scenes; single parts over fewer."""
    parts = Parts(
        DiffusersEngine.load(), ImageEncoder.load(STARTER / "image_encoder"), starter_analyzer()
    )
    count = samples or (QUICK_SCENES if quick else SCENES)
    measured = ablation(parts, count, progress=say, part_count=PART_SCENES)
    figures = headline(measured)
    for name, row in measured.rows.items():
        for size in BUCKETS:
            faces = bucket(measured.sizes[: len(row.likeness)], size)
            if len(faces):
                figures[f"{name}_{size}"] = float(np.array(row.likeness)[faces].mean())
        figures[f"{name}_stranger"] = mean(row.stranger) if row.stranger else 0.0
        figures[f"{name}_faces"] = len(row.likeness)
        figures[f"{name}_found"] = mean(row.found)
        figures[f"{name}_style"] = score(row.style)
        figures[f"{name}_style_faces"] = score(row.style_faces)
        figures[f"{name}_style_background"] = score(row.style_background)
        figures[f"{name}_colours"] = score(row.colours)
        figures[f"{name}_seconds"] = mean(row.seconds)
    say(table(measured, figures))
    return figures


def headline(measured: Ablation) -> dict[str, float]:
    """The main gains of the mosaic and the guard, and their cost."""
    rows, small = measured.rows, bucket(measured.sizes, "small")
    host, full = (np.array(rows[name].likeness)[small] for name in ("host", "full"))
    gain, low, _ = paired_gain(host, full)
    # Compared on the same scenes, since the mosaic alone is measured on fewer.
    shared = len(rows["mosaic"].seconds)
    plain, mosaic = (
        sum(row.seconds[:shared]) / sum(row.pixels[:shared])
        for row in (rows["host"], rows["mosaic"])
    )
    return {
        "small_faces": len(small),
        "small_face_gain": gain,
        "small_face_gain_ci_low": low,
        # Relative to the remaining distance, because a score near 0 has no useful relative change.
        "style_change": (1 - score(rows["full"].style)) / (1 - score(rows["host"].style)) - 1,
        "pasteback_psnr": min(measured.returned),
        "pasteback_outside": measured.outside,
        "canvas_cost_ratio": mosaic / plain,
    }


def score(distances: Sequence[Distances]) -> float:
    """The fraction of the distance to the style that a row covers, over all scenes; scenes that
    start near the style hardly count.
    """
    now, before = (sum(column) for column in zip(*distances, strict=True))
    return style_score(now, before)


def table(measured: Ablation, figures: dict[str, float]) -> str:
    """The rows as Markdown."""
    sizes = [f"{name} ({len(bucket(measured.sizes, name))})" for name in BUCKETS]
    columns = [*BUCKETS, "faces", "stranger", "found", "style", "style_faces", "style_background"]
    columns += ["colours", "seconds"]
    titles = [*sizes, *columns[len(sizes) :]]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for name in measured.rows:
        cells = [figures.get(f"{name}_{column}") for column in columns]
        shown = ["" if value is None else f"{value:.4g}" for value in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
