"""The whole person: head and body."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.messages import tell_without_face
from ..engines.comfyui.progress import Progress
from ..models.face_parser import FaceParser
from ..techniques.person_mask import person_mask
from .menu import menu
from .sockets import FaceParserSocket


class VisagePersonMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePersonMask",
            display_name="Person Mask",
            **menu(
                "Masks",
                "segment person",
                "person segmentation",
                "background mask",
                "remove background",
                "body mask",
                "cut out person",
            ),
            description="Marks whole persons, head and body: the face parser finds the heads, and "
            "the colours below them tell body from background. It is a first cut; look at the "
            "overlay.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures."),
                FaceParserSocket.Input("parser", tooltip="From Load Face Parser."),
                io.Combo.Input(
                    "faces",
                    options=["all", "largest", "index"],
                    default="all",
                    tooltip="Whose body: everybody's, that of the largest face, or that of the "
                    "face with the number in face_index.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=999,
                    tooltip="The number of the face, from left to right, counted from 0. Used when "
                    "faces is index.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=["empty mask", "error", "full mask"],
                    default="empty mask",
                    tooltip="What a picture without the wanted face gives: an empty mask, an "
                    "error, or a mask of the whole picture.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask_out",
                    display_name="mask",
                    tooltip="1 on the persons, 0 on what is behind them. Invert Mask gives the "
                    "background, Soft Mask a soft outline.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The picture with the persons in colour.",
                ),
                io.BBOX.Output(
                    "boxes",
                    display_name="boxes",
                    tooltip="For each picture, the boxes (x, y, width, height) of the persons' "
                    "faces in pixels, from left to right.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image, parser: FaceParser, faces: str, face_index: int, no_face: str
    ) -> io.NodeOutput:
        found = person_mask(
            image,
            parser,
            which=faces,
            index=face_index,
            no_face=no_face.removesuffix(" mask"),
            progress=Progress(),
        )
        if cls.hidden:
            tell_without_face(cls.hidden.unique_id, found.boxes, no_face)
        return io.NodeOutput(found.mask, found.overlay, found.boxes)


NODES = [VisagePersonMask]
