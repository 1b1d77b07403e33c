"""Verification of identity on photographs of real people, who have two expressions each.

Pairs are the two pictures of a person and, as many, pictures of two people. The people are divided
into ten folds: the threshold is chosen on nine and tested on the tenth (as in LFW, Huang et al.,
2007).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..models.dlib_faces import dlib_analyzer, dlib_files
from ..models.face_analyzer import FaceAnalyzer, starter_analyzer
from ..training.starter.photographs import face_lines, read_picture
from .embedder import accuracy, best_threshold

FOLDS = 10
PART = "people"


def person_of(file: str) -> str:
    """The person's number in names such as neutral_front_001_03.jpg."""
    return file.split("_")[2]


def people_vectors(
    folder: Path, analyzer: FaceAnalyzer, people: int | None = None
) -> dict[str, list[Tensor]]:
    """Vectors [D] of the largest face of each picture, by person, for all or the first `people`.

    Pictures in which no face is found are left out.
    """
    vectors: dict[str, list[Tensor]] = {}
    lines = list(face_lines(folder / PART))
    chosen = set(sorted({person_of(line["file"]) for line in lines})[:people])
    for line in lines:
        if person_of(line["file"]) not in chosen:
            continue
        image = torch.from_numpy(read_picture(folder / PART / line["file"])).float() / 255
        faces = [face for face in analyzer.find(image) if face.landmarks is not None]
        if faces:
            largest = max(faces, key=lambda face: face.box[2] * face.box[3])
            vector = analyzer.embed(image, [largest.landmarks])[0]
            vectors.setdefault(person_of(line["file"]), []).append(vector.float().cpu())
    return vectors


def cosines(vectors: dict[str, list[Tensor]], people: list[str]) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs of one person, and of all pairs of two of the people."""
    same = [a @ b for p in people for a, b in combinations(vectors[p], 2)]
    different = [a @ b for p, q in combinations(people, 2) for a in vectors[p] for b in vectors[q]]
    return torch.tensor(same), torch.tensor(different)


def ten_fold(vectors: dict[str, list[Tensor]], seed: int = 0) -> tuple[float, float]:
    """Mean balanced accuracy over ten folds of people, and the mean threshold.

    With fewer than twenty people there are fewer folds, each of at least two people.
    """
    people = sorted(person for person, found in vectors.items() if len(found) > 1)
    np.random.default_rng(seed).shuffle(people)
    # A fold of one person has no pair of two people.
    count = min(FOLDS, len(people) // 2)
    folds = [people[k::count] for k in range(count)]
    right, thresholds = [], []
    for fold in folds:
        others = [person for person in people if person not in fold]
        thresholds.append(weighed_threshold(*cosines(vectors, others)))
        right.append(accuracy(*cosines(vectors, fold), thresholds[-1]))
    return float(np.mean(right)), float(np.mean(thresholds))


def weighed_threshold(same: Tensor, different: Tensor) -> float:
    """The cosine with the best balanced accuracy."""
    times = max(1, round(len(different) / max(len(same), 1)))
    return best_threshold(same.repeat(times), different)


def identity_figures(folder: Path, people: int | None = None) -> dict[str, float]:
    """How well the starter and, if its files are installed, dlib know people again, on all or the
    first `people`.

    By analyzer: `identity_accuracy_*`, `identity_threshold_*`, and the cosines that 5 in 100 pairs
    of two people lie above (`identity_same_from_*`) and 5 in 100 of one person below
    (`identity_different_below_*`).
    """
    analyzers: dict[str, Callable[[], FaceAnalyzer]] = {"starter": starter_analyzer}
    if dlib_files() is not None:
        analyzers["dlib"] = dlib_analyzer
    figures = {}
    for name, load in analyzers.items():
        vectors = people_vectors(folder, load(), people)
        accuracy_, threshold = ten_fold(vectors)
        figures[f"identity_accuracy_{name}"] = accuracy_
        figures[f"identity_threshold_{name}"] = threshold
        same, different = cosines(vectors, list(vectors))
        figures[f"identity_same_from_{name}"] = float(different.quantile(0.95))
        figures[f"identity_different_below_{name}"] = float(same.quantile(0.05))
    return figures
