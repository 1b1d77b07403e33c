"""The starter world: people drawn from parameters, with exact labels, attributes and captions."""

from .circumstance import Circumstance, sample_circumstance
from .identity import Identity, sample_person
from .portrait import Portrait, portrait, portrait_landmarks, render
from .scene import Scene, SceneFace, scene
from .styles import STYLES

__all__ = [
    "STYLES",
    "Circumstance",
    "Identity",
    "Portrait",
    "Scene",
    "SceneFace",
    "portrait",
    "portrait_landmarks",
    "render",
    "sample_circumstance",
    "sample_person",
    "scene",
]
