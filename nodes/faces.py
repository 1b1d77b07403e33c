"""Face analysis: who is in a picture, and where."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..engines.comfyui.analyzers import (
    analyzer_fingerprint,
    analyzer_options,
    kept_analyzer,
    resolve_analyzer,
)
from ..engines.comfyui.progress import Progress
from ..models import registry
from ..models.analyzer_choice import AUTO, STARTER, explain
from ..models.insightface import LICENCE
from ..models.user_input import passes
from ..techniques.face_choice import ALL, ORDERS, ChosenFaces, reference_embedding
from ..techniques.face_overlay import draw_faces
from ..techniques.shapes import as_image, split_alpha
from .menu import menu
from .sockets import FacesSocket


class VisageLoadFaceAnalyzer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceAnalyzer",
            display_name="Load Face Analyzer",
            **menu(
                "Models",
                "InsightFace",
                "dlib",
                "YuNet",
                "SFace",
                "face recognition",
                "face detector",
            ),
            description="Finds faces and tells people apart: the built-in starter, dlib, OpenCV's "
            "YuNet and SFace, or InsightFace's packs. It also selects which faces the following "
            "nodes use.",
            inputs=[
                io.Combo.Input(
                    "analyzer",
                    options=analyzer_options(),
                    default=registry.BUILT_IN,
                    tooltip="The starter finds drawn and photographed faces, and tells drawn "
                    "people apart better than photographed ones; the cascade finds photographed "
                    "faces only. auto takes the best that is installed for photographs and says "
                    "which. dlib is listed after pip install dlib-bin face-recognition-models. "
                    "Your own folders are listed last: models/visage_face_analyzers (YuNet: MIT, "
                    "SFace: Apache-2.0) and models/insightface (buffalo_l and the like. "
                    f"{LICENCE}).",
                ),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default=ORDERS[0],
                    tooltip="How faces are counted: from left to right, the largest first, or the "
                    "surest first.",
                ),
                io.Int.Input(
                    "face_index",
                    default=ALL,
                    min=ALL,
                    max=999,
                    tooltip="The number of the one face to take, counted from 0 as the overlay "
                    "shows it. -1 takes all.",
                ),
                io.Int.Input(
                    "smallest",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Leave out faces whose longer side has fewer pixels than this. 0 "
                    "means no limit.",
                ),
                io.Int.Input(
                    "largest",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Leave out faces whose longer side has more pixels than this. 0 means "
                    "no limit.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="Pictures of one person. In each picture only this person's face is "
                    "used, or none if the person is not in it. face_index is then ignored.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Pictures for the overlay, to see which faces are taken.",
                ),
            ],
            outputs=[
                FacesSocket.Output(
                    "faces",
                    display_name="faces",
                    tooltip="The face analyzer, for Identity Score, Mosaic Compose, Style Adapter.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The pictures of the input image with a numbered box around each face "
                    "that is taken.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, analyzer: str = registry.BUILT_IN) -> bool | str:
        return passes(analyzer_fingerprint, resolve_analyzer(analyzer))

    @classmethod
    def fingerprint_inputs(cls, analyzer: str, **settings) -> str:
        return analyzer_fingerprint(resolve_analyzer(analyzer))

    @classmethod
    def execute(
        cls,
        analyzer: str,
        order: str,
        face_index: int,
        smallest: int,
        largest: int,
        reference=None,
        image=None,
    ) -> io.NodeOutput:
        taken = resolve_analyzer(analyzer)
        loaded = kept_analyzer(taken)
        person = None
        if reference is not None:
            person = reference_embedding(split_alpha(as_image(reference, "reference"))[0], loaded)
        chosen = ChosenFaces(loaded, order, face_index, smallest, largest, person)
        said = None
        if analyzer == AUTO:
            said = ui.PreviewText(explain(STARTER if taken == registry.BUILT_IN else taken))
        if image is None:
            blocked = ExecutionBlocker("Connect pictures to image to see their faces here.")
            return io.NodeOutput(chosen, blocked, ui=said)
        return io.NodeOutput(chosen, _overlay(image, chosen), ui=said)


def _overlay(image: torch.Tensor, faces: ChosenFaces) -> torch.Tensor:
    pictures = split_alpha(as_image(image, "image"))[0]
    progress, shown = Progress(), []
    for number, picture in enumerate(pictures, 1):
        found = faces.find(picture)
        words = [f"{place} ({face.score:.2f})" for place, face in enumerate(found)]
        shown.append(draw_faces(picture, [face.box for face in found], words))
        progress(number, len(pictures))
    return torch.stack(shown)


NODES: list[type[io.ComfyNode]] = [VisageLoadFaceAnalyzer]
