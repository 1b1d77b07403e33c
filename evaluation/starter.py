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
from ..models.face_parser import load_face_parser
from ..models.starter_files import STARTER, starter_file
from .attribute_classifier import load_attribute_classifier
from .attributes import judge_with, prompt_attribute_rates
from .editing import load_editor
from .parsing import astronaut_iou, parser_figures
from .reconstruction import vae_figures


@dataclass(frozen=True)
class Samples:
    """How many pictures each figure is measured on."""

    portraits: int
    people_per_attribute: int


FULL = Samples(portraits=300, people_per_attribute=24)
QUICK = Samples(portraits=16, people_per_attribute=2)


@dataclass(frozen=True)
class StarterReport:
    """The figures by name, and the rate of each attribute behind `prompt_attribute_accuracy`."""

    figures: dict[str, float]
    attributes: dict[str, float]
    samples: Samples


def size_in_mib(folder: Path = STARTER) -> float:
    """The size of all starter files together, in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


@torch.inference_mode()
def evaluate(samples: Samples, say: Callable[[str], None]) -> StarterReport:
    """Measure everything; say(what) is called before each part."""
    parser = load_face_parser(starter_file("face_parser"))
    say(f"face parser: {samples.portraits} portraits")
    figures = parser_figures(parser, samples.portraits)
    say("face parser: the astronaut")
    figures["astronaut_iou"] = astronaut_iou(parser)
    say(f"autoencoder: {samples.portraits} portraits and pieces of photographs")
    figures |= vae_figures(DiffusersEngine.load(), samples.portraits)
    editor = load_editor(parser)
    judge = judge_with(load_attribute_classifier())
    attributes = prompt_attribute_rates(editor, judge, samples.people_per_attribute, say)
    figures["prompt_attribute_accuracy"] = float(np.mean(list(attributes.values())))
    figures["total_mib"] = size_in_mib()
    return StarterReport(figures, attributes, samples)
