"""Face parsing: which pixels are which part of whose face."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.latest import io

from ..engines.comfyui import wrap_parser
from ..models import registry
from ..models.face_classes import CHOICES, COLOURS, PRESETS, expand_parts
from ..models.face_parser import FaceParser, load_face_parser
from ..techniques.face_mask import face_mask
from .sockets import FaceParserSocket

DEFAULT_PARTS = ["face"]
EDGES = ["binary", "soft"]
KEPT_PARSERS = 4

# Nodes have no state of their own: loaded parsers are kept here, by file and time of change.
_parsers: dict[tuple[Path, int], FaceParser] = {}


class VisageLoadFaceParser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceParser",
            display_name="Load Face Parser",
            category="Visage",
            description="A network that tells the 19 parts of a face apart. Takes the public "
            "BiSeNet checkpoints (79999_iter.pth, parsing_bisenet.pth, resnet18.pt, resnet34.pt), "
            "the folder of a SegFormer, and the built-in starter.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=registry.options("face_parser", folder_paths),
                    tooltip="A BiSeNet checkpoint or a SegFormer's folder from "
                    "models/visage_face_parsers, or the starter's own small BiSeNet. Public "
                    "checkpoints were trained on CelebAMask-HQ, whose licence is for "
                    "non-commercial research.",
                ),
            ],
            outputs=[
                FaceParserSocket.Output(
                    "parser", display_name="parser", tooltip="The face parser, for Face Mask."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str = registry.BUILT_IN) -> bool | str:
        try:
            registry.locate("face_parser", file, folder_paths)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        path = registry.locate("face_parser", file, folder_paths)
        return f"{path} {path.stat().st_mtime_ns}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = registry.locate("face_parser", file, folder_paths)
        key = (path, path.stat().st_mtime_ns)
        if key not in _parsers:
            while len(_parsers) >= KEPT_PARSERS:
                del _parsers[next(iter(_parsers))]
            _parsers[key] = wrap_parser(load_face_parser(path))
        return io.NodeOutput(_parsers[key])


class _PartsInput(io.MultiCombo.Input):
    """The frontend reads a multi-choice's looks from an object; MultiCombo writes a bare true.

    The picker on the canvas (web/face_parts.js) reads the parts' meaning and colours from here.
    """

    def as_dict(self) -> dict:
        looks = {"placeholder": self.placeholder, "chip": self.chip}
        return super().as_dict() | {"multi_select": looks, "presets": PRESETS, "colours": COLOURS}


class VisageFaceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFaceMask",
            display_name="Face Mask",
            category="Visage",
            description="Finds the faces in pictures of any size and marks the parts you choose, "
            "on every picture of a batch.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures."),
                FaceParserSocket.Input("parser", tooltip="From Load Face Parser."),
                _PartsInput(
                    "parts",
                    options=list(CHOICES),
                    default=DEFAULT_PARTS,
                    placeholder=DEFAULT_PARTS[0],
                    chip=True,
                    tooltip="What to mark: presets and single parts, joined. Left and right are "
                    "the viewer's. Nothing chosen means the preset face: skin, brows, eyes, "
                    "glasses, nose, mouth and lips.",
                ),
                io.Combo.Input(
                    "faces",
                    options=["all", "largest", "index"],
                    default="all",
                    tooltip="Which faces: all of them, the one with the largest box, or the one "
                    "with the number in face_index.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=999,
                    tooltip="The number of the face, from left to right, counted from 0, as the "
                    "overlay shows it. Used when faces is index.",
                ),
                io.Combo.Input(
                    "edges",
                    options=EDGES,
                    default=EDGES[0],
                    tooltip="Binary cuts the parser's probability at 0.5; soft keeps it as the "
                    "mask's value.",
                ),
                io.Boolean.Input(
                    "fill_holes",
                    default=True,
                    tooltip="Close gaps inside the mask. Parts of the face that you did not "
                    "choose, such as the eyes in the preset skin, stay open.",
                ),
                io.Boolean.Input(
                    "largest_component",
                    default=True,
                    tooltip="Drop what is not connected to the face: specks, hands, parts of "
                    "somebody else.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=["empty mask", "error", "full mask"],
                    default="empty mask",
                    tooltip="What a picture without the wanted face gives: an empty mask, so that "
                    "nothing is edited, an error, or a mask of the whole picture.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask_out", display_name="mask", tooltip="1 inside the chosen parts, 0 outside."
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The picture with the chosen parts in colour, numbered faces and a "
                    "legend below.",
                ),
                io.BBOX.Output(
                    "boxes",
                    display_name="boxes",
                    tooltip="For each picture, the boxes (x, y, width, height) of the chosen "
                    "faces in pixels, from left to right.",
                ),
                io.Float.Output(
                    "area_share",
                    display_name="area share",
                    tooltip="How much of the picture the mask covers, 0 to 1; the mean of a batch.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, parts: list[str] | str = "", edges: str = EDGES[0]) -> bool | str:
        if edges not in EDGES:
            return f"edges is {edges!r}; it must be one of {', '.join(EDGES)}."
        try:
            expand_parts(_chosen_parts(parts))
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        image,
        parser: FaceParser,
        parts: list[str] | str,
        faces: str,
        face_index: int,
        edges: str,
        fill_holes: bool,
        largest_component: bool,
        no_face: str,
    ) -> io.NodeOutput:
        bar = comfy.utils.ProgressBar(1)

        def progress(done: int, total: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            bar.update_absolute(done, total)

        result = face_mask(
            image,
            parser,
            _chosen_parts(parts),
            which=faces,
            index=face_index,
            soft=edges == "soft",
            fill_holes=fill_holes,
            largest_component=largest_component,
            no_face=no_face.removesuffix(" mask"),
            progress=progress,
        )
        share = sum(result.area_share) / len(result.area_share)
        return io.NodeOutput(result.mask, result.overlay, result.boxes, share)


def _chosen_parts(parts: list[str] | str) -> list[str]:
    """A new node on the canvas has chosen nothing yet; a script may give one name by itself."""
    return ([parts] if isinstance(parts, str) else list(parts)) if parts else DEFAULT_PARTS


NODES = [VisageLoadFaceParser, VisageFaceMask]
