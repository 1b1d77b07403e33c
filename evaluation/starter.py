"""How good the starter models are, on people and pictures that no training stage has seen.

Figures from the starter world say something about the starter world only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..engines.diffusers import DiffusersEngine
from ..models.face_parser import load_face_parser
from ..models.starter_files import STARTER, starter_file
from .parsing import astronaut_iou, parser_figures
from .reconstruction import vae_figures


@dataclass(frozen=True)
class Samples:
    """How many pictures each figure is measured on."""

    portraits: int


FULL = Samples(portraits=300)
QUICK = Samples(portraits=16)


def size_in_mib(folder: Path = STARTER) -> float:
    """The size of all starter files together, in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


@torch.inference_mode()
def evaluate(samples: Samples, say: Callable[[str], None]) -> dict[str, float]:
    """Every figure by name; say(what) is called before each part."""
    parser = load_face_parser(starter_file("face_parser"))
    say(f"face parser: {samples.portraits} portraits")
    figures = parser_figures(parser, samples.portraits)
    say("face parser: the astronaut")
    figures["astronaut_iou"] = astronaut_iou(parser)
    say(f"autoencoder: {samples.portraits} portraits and pieces of photographs")
    figures |= vae_figures(DiffusersEngine.load(), samples.portraits)
    figures["total_mib"] = size_in_mib()
    return figures
