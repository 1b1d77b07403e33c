"""Edits of drawn portraits with the starter's models, as in the demo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..engines.diffusers import DiffusersEngine
from ..models.face_edit import read_face_edit
from ..models.face_parser import FaceParser
from ..models.starter_files import starter_file
from ..techniques.face_edit import FaceEditResult, FaceEditSettings, edit_faces
from ..techniques.text_adapter import FaceAwareTextAdapter
from ..world.portrait import Portrait
from .held_out import as_batch, as_pictures

Editor = Callable[[Portrait, str, tuple[str, ...]], np.ndarray]
"""editor(portrait, prompt, parts to repaint) -> edited picture uint8 [H, W, 3]."""


def load_edit(parser: FaceParser) -> Callable[..., FaceEditResult]:
    """Load the starter's face edit on the diffusers engine; its noise depends on the person.

    The returned function takes a portrait, a prompt, the parts, and any other field of
    `FaceEditSettings` by name.
    """
    weights = read_face_edit(starter_file("face_edit"))
    engine = DiffusersEngine.load(face_edit=weights)
    adapter = FaceAwareTextAdapter.from_weights(weights.adapter)

    def edit(
        person: Portrait, prompt: str, parts: tuple[str, ...], **choices: object
    ) -> FaceEditResult:
        # The workflow's soft mask is for pictures of 512 px, four times as large as these.
        settings = FaceEditSettings(
            seed=person.identity_id, parts=parts, sigma=2.0, grow=3, unit="pixels", **choices
        )
        return edit_faces(as_batch([person.image]), prompt, engine, parser, settings, adapter)

    return edit


def load_editor(parser: FaceParser) -> Editor:
    """Load the starter's face edit with the shipped workflow's settings; it returns the picture."""
    edit = load_edit(parser)

    def paint(person: Portrait, prompt: str, parts: tuple[str, ...]) -> np.ndarray:
        return as_pictures(edit(person, prompt, parts).blended)[0]

    return paint
