"""Edits of drawn portraits with everything that the starter ships, as the demo makes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..engines.diffusers import DiffusersEngine
from ..models.face_edit import read_face_edit
from ..models.face_parser import FaceParser
from ..models.starter_files import starter_file
from ..techniques.face_edit import FaceEditSettings, edit_faces
from ..techniques.text_adapter import FaceAwareTextAdapter
from ..training.world.portrait import Portrait
from .held_out import as_batch, as_pictures

Editor = Callable[[Portrait, str, tuple[str, ...]], np.ndarray]
"""A portrait, a prompt and the parts to paint anew to the edited picture, uint8 [H, W, 3]."""


def load_editor(parser: FaceParser) -> Editor:
    """The starter's own face edit on the diffusers engine; the noise depends on the person."""
    weights = read_face_edit(starter_file("face_edit"))
    engine = DiffusersEngine.load(face_edit=weights)
    adapter = FaceAwareTextAdapter.from_weights(weights.adapter)

    @torch.inference_mode()
    def edit(person: Portrait, prompt: str, parts: tuple[str, ...]) -> np.ndarray:
        # The workflow's soft mask is made for pictures of 512 px; these have a quarter of that.
        settings = FaceEditSettings(seed=person.identity_id, parts=parts, sigma=2.0, grow=3)
        image = as_batch([person.image])
        return as_pictures(edit_faces(image, prompt, engine, parser, settings, adapter).blended)[0]

    return edit
