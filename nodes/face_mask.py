"""Face parsing: which pixels are which part of whose face."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..engines.comfyui.memory import fingerprint, kept
from ..engines.comfyui.messages import tell_without_face
from ..engines.comfyui.progress import Progress
from ..models import registry
from ..models.face_classes import (
    CHOICES,
    COLOURS,
    DEFAULT_PARTS,
    PRESETS,
    SEPARATOR,
    chosen_parts,
    expand_parts,
)
from ..models.face_parser import FaceParser, load_face_parser
from ..models.user_input import passes, require_choice
from ..techniques.face_mask import face_mask
from .menu import menu
from .sockets import FaceParserSocket

EDGES = ["binary", "soft"]


class VisageLoadFaceParser(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceParser",
            display_name="Load Face Parser",
            **menu(
                "Models", "BiSeNet", "SegFormer", "face parsing model", "face segmentation model"
            ),
            description="A network that labels each pixel with one of 19 parts of a face. Takes "
            "the public BiSeNet checkpoints (79999_iter.pth, parsing_bisenet.pth, resnet18.pt, "
            "resnet34.pt), the folder of a SegFormer, and the built-in starter.",
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
        return passes(registry.locate, "face_parser", file, folder_paths)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return fingerprint(registry.locate("face_parser", file, folder_paths))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = registry.locate("face_parser", file, folder_paths)
        return io.NodeOutput(kept(load_face_parser, path))


class _PartsInput(io.MultiCombo.Input):
    """The frontend reads a multi-choice's looks from an object; MultiCombo writes a bare true.

    The picker on the canvas (web/face_parts.js) reads the parts' meaning and colours from here.
    In the API form the choice is one text joined by `separator`: ComfyUI saves that form into
    pictures, and the page reads any list there as a link. The type says that a text will do:
    comfy-cli refuses lists, and texts of several parts, where the type is COMBO alone.
    """

    def __init__(self, *settings, **named) -> None:
        super().__init__(*settings, **named)
        self.widget_type = io.Combo.io_type

    def get_io_type(self) -> str:
        return f"{io.Combo.io_type},{io.String.io_type}"

    def as_dict(self) -> dict:
        looks = {"placeholder": self.placeholder, "chip": self.chip}
        return super().as_dict() | {
            "multi_select": looks,
            "presets": PRESETS,
            "colours": COLOURS,
            "separator": SEPARATOR,
        }


class VisageFaceMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFaceMask",
            display_name="Face Mask",
            **menu(
                "Masks",
                "face parsing",
                "segment face",
                "face segmentation",
                "skin mask",
                "hair mask",
                essential=True,
            ),
            description="Finds the faces in pictures of any size and marks the parts you choose, "
            "on every picture of a batch.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures."),
                FaceParserSocket.Input("parser", tooltip="From Load Face Parser."),
                _PartsInput(
                    "parts",
                    options=list(CHOICES),
                    default=DEFAULT_PARTS,
                    placeholder=DEFAULT_PARTS[0],
                    chip=True,
                    tooltip="The parts to mark: any combination of presets and single parts. Left "
                    "and right are the viewer's. Without a choice the preset face is used: skin, "
                    "brows, eyes, glasses, nose, mouth and lips.",
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
                    tooltip="Drop everything that is not connected to the face, such as specks, "
                    "hands and parts of other people.",
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
                    tooltip="The fraction of the picture that the mask covers, 0 to 1. For a "
                    "batch, the mean.",
                ),
                io.Image.Output(
                    "labels",
                    display_name="labels",
                    tooltip="The chosen parts in their colours on black, at the picture's size: a "
                    "parse map for a ControlNet.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, parts: list[str] | str = "", edges: str = EDGES[0]) -> bool | str:
        try:
            require_choice("edges", edges, EDGES)
            expand_parts(chosen_parts(parts))
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
        result = face_mask(
            image,
            parser,
            chosen_parts(parts),
            which=faces,
            index=face_index,
            soft=edges == "soft",
            fill_holes=fill_holes,
            largest_component=largest_component,
            no_face=no_face.removesuffix(" mask"),
            progress=Progress(),
        )
        if cls.hidden:
            tell_without_face(cls.hidden.unique_id, result.boxes, no_face)
        fraction = sum(result.area_share) / len(result.area_share)
        return io.NodeOutput(result.mask, result.overlay, result.boxes, fraction, result.labels)


NODES = [VisageLoadFaceParser, VisageFaceMask]
