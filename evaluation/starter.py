"""How good the starter models are, on people and pictures that no stage is trained on.

Figures from the starter world say nothing about other pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..engines.diffusers import DiffusersEngine
from ..models.attribute_classifier import load_attribute_classifier
from ..models.face_detector import load_face_detector
from ..models.face_embedder import load_face_embedder
from ..models.face_parser import load_face_parser
from ..models.starter_files import FILES, STARTER, starter_file
from .attributes import judge_with, prompt_attribute_rates
from .detector import detector_figures
from .editing import load_editor
from .embedder import embedder_figures
from .parsing import astronaut_iou, parser_figures
from .realism import features_of, realism_ratio
from .reconstruction import vae_figures


@dataclass(frozen=True)
class Samples:
    """The number of pictures behind each figure.

    embedder_people have five pictures each; as many other people serve to choose the threshold."""

    portraits: int
    scenes: int
    embedder_people: int
    people_per_attribute: int
    inpainted: int


FULL = Samples(
    portraits=300, scenes=300, embedder_people=300, people_per_attribute=24, inpainted=256
)
QUICK = Samples(portraits=10, scenes=12, embedder_people=10, people_per_attribute=1, inpainted=8)


@dataclass(frozen=True)
class StarterReport:
    """The figures by name, and the rates by attribute behind `prompt_attribute_accuracy`."""

    figures: dict[str, float]
    attributes: dict[str, float]
    samples: Samples


FIGURES = (
    "parser_miou",
    "parser_face_iou",
    "astronaut_iou",
    "detector_recall",
    "detector_precision",
    "embedder_accuracy",
    "embedder_cross_style_accuracy",
    "vae_psnr_faces",
    "vae_psnr_photos",
    "prompt_attribute_accuracy",
    "fid_ratio",
    "total_mib",
)
"""Every figure, in the order of the model card."""


def size_in_mib(folder: Path = STARTER) -> float:
    """The total size of the starter's files in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def evaluate(
    samples: Samples, say: Callable[[str], None], run: Callable[[dict], dict] | None = None
) -> StarterReport:
    """Measure everything; say(what) is called before each part.

    `run` gets the parts as functions by name and returns their results by name; it may run them in
    any order and on any machine. By default they run here one after the other. Figures of a missing
    detector or embedder are left out.
    """
    parts = {
        name: partial(part, samples, say)
        for name, (needed, part) in PARTS.items()
        if needed is None or _shipped(needed, say)
    }
    found = run(parts) if run else {name: part() for name, part in parts.items()}
    figures = {name: value for part in found.values() for name, value in part.items()}
    attributes = figures.pop("attributes")
    figures["total_mib"] = size_in_mib()
    figures = {name: figures[name] for name in FIGURES if name in figures}
    return StarterReport(figures, attributes, samples)


Say = Callable[[str], None]


@torch.inference_mode()
def _parser(samples: Samples, say: Say) -> dict:
    parser = load_face_parser(starter_file("face_parser"))
    say(f"face parser: {samples.portraits} portraits")
    figures = parser_figures(parser, samples.portraits)
    say("face parser: the astronaut")
    return {**figures, "astronaut_iou": astronaut_iou(parser)}


@torch.inference_mode()
def _detector(samples: Samples, say: Say) -> dict:
    say(f"face detector: {samples.scenes} scenes")
    return detector_figures(load_face_detector(starter_file("face_detector")), samples.scenes)


@torch.inference_mode()
def _autoencoder(samples: Samples, say: Say) -> dict:
    say(f"autoencoder: {samples.portraits} portraits and pieces of photographs")
    return vae_figures(DiffusersEngine.load(), samples.portraits)


@torch.inference_mode()
def _prompts(samples: Samples, say: Say) -> dict:
    editor = load_editor(load_face_parser(starter_file("face_parser")))
    judge = judge_with(load_attribute_classifier())
    rates = prompt_attribute_rates(editor, judge, samples.people_per_attribute, say)
    mean = float(np.mean(list(rates.values())))
    return {"attributes": rates, "prompt_attribute_accuracy": mean}


@torch.inference_mode()
def _embedder(samples: Samples, say: Say) -> dict:
    say(f"face embedder: {samples.embedder_people} people")
    embedder = load_face_embedder(starter_file("face_embedder"))
    return embedder_figures(embedder, samples.embedder_people)


@torch.inference_mode()
def _realism(samples: Samples, say: Say) -> dict:
    say(f"realism: {samples.inpainted} inpainted faces")
    editor = load_editor(load_face_parser(starter_file("face_parser")))
    embedder = load_face_embedder(starter_file("face_embedder"))
    return {"fid_ratio": realism_ratio(editor, features_of(embedder), samples.inpainted)}


PARTS: dict[str, tuple[str | None, Callable[[Samples, Say], dict]]] = {
    "face parser": (None, _parser),
    "face detector": ("face_detector", _detector),
    "autoencoder": (None, _autoencoder),
    "prompts": (None, _prompts),
    "face embedder": ("face_embedder", _embedder),
    "realism": ("face_embedder", _realism),
}
"""Each part, and the starter's file without which it is left out."""


def _shipped(part: str, say: Callable[[str], None]) -> bool:
    found = part in FILES and (STARTER / FILES[part]).is_file()
    if not found:
        say(f"{part.replace('_', ' ')}: not among the starter's files, so it is left out")
    return found
