"""Face analysis: who is in a picture, and where."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..engines.comfyui import wrap_parser
from ..models import registry
from ..models.analyzer_pack import load_pack
from ..models.face_analyzer import Analyzer, starter_analyzer
from ..models.face_parser import load_face_parser
from ..models.insightface import LICENCE
from ..models.starter_files import starter_file
from ..techniques.cascade_faces import cascade_analyzer
from ..techniques.face_choice import ALL, ORDERS, ChosenFaces, reference_embedding
from ..techniques.face_overlay import draw_faces
from ..techniques.shapes import as_image, split_alpha
from .sockets import FacesSocket

CASCADE = "cascade (no file, finds faces only)"
KEPT_ANALYZERS = 4

# Nodes have no state of their own: loaded analyzers are kept here, by files and times of change.
_analyzers: dict[str, Analyzer] = {}


def _options() -> list[str]:
    return [registry.BUILT_IN, CASCADE, *registry.analyzer_packs(folder_paths)]


def _fingerprint(analyzer: str) -> str:
    """The analyzer's files and when they changed. Raises FileNotFoundError where one is missing."""
    if analyzer in (registry.BUILT_IN, CASCADE):
        parts = ("face_parser",) if analyzer == CASCADE else ("face_detector", "face_embedder")
        files = [starter_file(part) for part in parts]
    else:
        files = _pack(analyzer)
    return " ".join([analyzer, *(f"{file} {file.stat().st_mtime_ns}" for file in files)])


def _pack(analyzer: str) -> list[Path]:
    packs = registry.analyzer_packs(folder_paths)
    if analyzer not in packs:
        kinds = [registry.KINDS[key] for key in ("face_analyzer", "insightface")]
        folders = [path for kind in kinds for path in folder_paths.get_folder_paths(kind.folder)]
        advice = " Or ".join(f"{kind.what}. {kind.how_to_get()}." for kind in kinds)
        raise FileNotFoundError(
            f"No folder {analyzer!r} with face-analysis files. Searched: {', '.join(folders)}. "
            f"Found: {', '.join(packs) or 'nothing'}. It should be {advice} "
            f"Or choose {registry.BUILT_IN!r}."
        )
    return packs[analyzer]


def _load(analyzer: str) -> Analyzer:
    if analyzer == registry.BUILT_IN:
        return starter_analyzer(wrap_parser)
    if analyzer == CASCADE:
        path = registry.locate("face_parser", registry.BUILT_IN, folder_paths)
        return cascade_analyzer(wrap_parser(load_face_parser(path)))
    return load_pack(_pack(analyzer))


class VisageLoadFaceAnalyzer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceAnalyzer",
            display_name="Load Face Analyzer",
            category="Visage",
            description="Finds faces and tells people apart: the built-in starter (drawn people), "
            "OpenCV's YuNet and SFace, or InsightFace's packs. Also chooses which faces the nodes "
            "behind it see.",
            inputs=[
                io.Combo.Input(
                    "analyzer",
                    options=_options(),
                    default=registry.BUILT_IN,
                    tooltip="The starter knows drawn people; the cascade finds photographed faces "
                    "without any file and cannot tell people apart. Below them stand your folders "
                    "of ONNX files in models/visage_face_analyzers (YuNet: MIT, SFace: Apache-2.0) "
                    f"and models/insightface (buffalo_l and the like. {LICENCE}).",
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
                    tooltip="Leave out faces whose longer side is under so many pixels; 0 is no "
                    "limit.",
                ),
                io.Int.Input(
                    "largest",
                    default=0,
                    min=0,
                    max=16384,
                    tooltip="Leave out faces whose longer side is over so many pixels; 0 is no "
                    "limit.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="Pictures of one person: only this person's face is taken in each "
                    "picture, or none where everybody is somebody else. face_index is not used.",
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
        try:
            _fingerprint(analyzer)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, analyzer: str, **settings) -> str:
        return _fingerprint(analyzer)

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
        key = _fingerprint(analyzer)
        if key not in _analyzers:
            while len(_analyzers) >= KEPT_ANALYZERS:
                del _analyzers[next(iter(_analyzers))]
            _analyzers[key] = _load(analyzer)
        loaded = _analyzers[key]
        person = None
        if reference is not None:
            person = reference_embedding(split_alpha(as_image(reference, "reference"))[0], loaded)
        chosen = ChosenFaces(loaded, order, face_index, smallest, largest, person)
        if image is None:
            return io.NodeOutput(
                chosen, ExecutionBlocker("Connect pictures to image to see their faces here.")
            )
        return io.NodeOutput(chosen, _overlay(image, chosen))


def _overlay(image: torch.Tensor, faces: ChosenFaces) -> torch.Tensor:
    pictures = split_alpha(as_image(image, "image"))[0]
    bar = comfy.utils.ProgressBar(len(pictures))
    shown = []
    for picture in pictures:
        comfy.model_management.throw_exception_if_processing_interrupted()
        found = faces.find(picture)
        words = [f"{number} ({face.score:.2f})" for number, face in enumerate(found)]
        shown.append(draw_faces(picture, [face.box for face in found], words))
        bar.update(1)
    return torch.stack(shown)


NODES: list[type[io.ComfyNode]] = [VisageLoadFaceAnalyzer]
