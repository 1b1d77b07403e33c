"""How good the starter models are, on people and pictures that no training stage has seen.

Figures from the starter world say something about the starter world only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..engines.diffusers import DiffusersEngine
from ..models.face_detector import load_face_detector
from ..models.face_embedder import load_face_embedder
from ..models.face_parser import load_face_parser
from ..models.starter_files import FILES, STARTER, starter_file
from .attribute_classifier import load_attribute_classifier
from .attributes import judge_with, prompt_attribute_rates
from .detector import detector_figures
from .editing import load_editor
from .embedder import embedder_figures
from .parsing import astronaut_iou, parser_figures
from .realism import features_of, realism_ratio
from .reconstruction import vae_figures


@dataclass(frozen=True)
class Samples:
    """How many pictures each figure is measured on; of embedder_people five pictures each, and
    twice, for the threshold is chosen on others."""

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
    """The figures by name, and the rate of each attribute behind `prompt_attribute_accuracy`."""

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
    """The size of all starter files together, in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


@torch.inference_mode()
def evaluate(samples: Samples, say: Callable[[str], None]) -> StarterReport:
    """Measure everything; say(what) is called before each part.

    Figures of a detector or embedder that the starter's folder does not have are left out.
    """
    parser = load_face_parser(starter_file("face_parser"))
    say(f"face parser: {samples.portraits} portraits")
    figures = parser_figures(parser, samples.portraits)
    say("face parser: the astronaut")
    figures["astronaut_iou"] = astronaut_iou(parser)
    if _shipped("face_detector", say):
        say(f"face detector: {samples.scenes} scenes")
        detector = load_face_detector(starter_file("face_detector"))
        figures |= detector_figures(detector, samples.scenes)
    say(f"autoencoder: {samples.portraits} portraits and pieces of photographs")
    figures |= vae_figures(DiffusersEngine.load(), samples.portraits)
    editor = load_editor(parser)
    judge = judge_with(load_attribute_classifier())
    attributes = prompt_attribute_rates(editor, judge, samples.people_per_attribute, say)
    figures["prompt_attribute_accuracy"] = float(np.mean(list(attributes.values())))
    if _shipped("face_embedder", say):
        say(f"face embedder: {samples.embedder_people} people")
        embedder = load_face_embedder(starter_file("face_embedder"))
        figures |= embedder_figures(embedder, samples.embedder_people)
        say(f"realism: {samples.inpainted} inpainted faces")
        figures["fid_ratio"] = realism_ratio(editor, features_of(embedder), samples.inpainted)
    figures["total_mib"] = size_in_mib()
    figures = {name: figures[name] for name in FIGURES if name in figures}
    return StarterReport(figures, attributes, samples)


def _shipped(part: str, say: Callable[[str], None]) -> bool:
    found = part in FILES and (STARTER / FILES[part]).is_file()
    if not found:
        say(f"{part.replace('_', ' ')}: not among the starter's files, so it is left out")
    return found
