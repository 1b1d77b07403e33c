"""A face from a picture, without a model that paints."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io, ui

from ..engines.comfyui.memory import kept
from ..engines.comfyui.progress import Progress
from ..models import registry
from ..models.inswapper import LICENCE, Inswapper, load_inswapper
from ..models.registry import NO_FILE
from ..techniques.bring_face import MAX_ANGLE
from ..techniques.bring_faces import NO_FACE, PERSONS, bring_faces
from ..techniques.pixel_blend import RESHAPING
from .menu import menu
from .sockets import FaceParserSocket, FacesSocket


def _swappers() -> list[str]:
    """Files in models/insightface that are named as swappers; the others are packs'."""
    return [name for name in registry.options("inswapper", folder_paths) if "swap" in name.lower()]


def _swapper(name: str) -> Inswapper | None:
    if name == NO_FILE:
        return None
    return kept(load_inswapper, registry.locate("inswapper", name, folder_paths))


class VisageBringFace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageBringFace",
            display_name="Bring Face",
            **menu("Faces", "face swap", "swap face", "replace face", essential=True),
            description="Brings the person of a reference photograph into a picture: the face is "
            "warped onto the other one, takes its light and skin tone, and is blended in. Needs no "
            "model that paints.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the face goes into."),
                io.Image.Input(
                    "reference",
                    tooltip="The photograph of the person, one face, seen as in the picture.",
                ),
                FacesSocket.Input(
                    "faces",
                    tooltip="From Load Face Analyzer, which also chooses the faces of the picture.",
                ),
                FaceParserSocket.Input("parser", tooltip="From Load Face Parser."),
                io.Combo.Input(
                    "mode",
                    options=list(RESHAPING),
                    default="laplacian",
                    tooltip="How the face is blended in; see Pixel Blend.",
                ),
                io.Float.Input(
                    "light",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the face takes the picture's skin tone and shading: 0 keeps "
                    "the reference's.",
                ),
                io.Float.Input(
                    "max_angle",
                    default=MAX_ANGLE,
                    min=0.0,
                    max=90.0,
                    step=1.0,
                    tooltip="The largest difference in degrees between the directions that the "
                    "two heads face. Pairs with a larger difference are refused. A smile counts "
                    "as a few degrees.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=list(NO_FACE),
                    default=NO_FACE[0],
                    tooltip="What happens to a picture without a face.",
                ),
                io.Combo.Input(
                    "swapper",
                    options=[NO_FILE, *_swappers()],
                    default=NO_FILE,
                    optional=True,
                    tooltip="A file of inswapper's format in models/insightface, such as "
                    f"inswapper_128.onnx ({LICENCE}): its network gives the face the person's "
                    "identity, at 128 px, and this node places and blends it. Needs an "
                    "InsightFace pack as analyzer. none: the reference is warped.",
                ),
                io.Combo.Input(
                    "person",
                    options=list(PERSONS),
                    default=PERSONS[0],
                    optional=True,
                    tooltip="Which face of the reference is brought: its largest one, to every "
                    "face, or to each face the one in the same place. The latter is for a "
                    "restyled picture whose people come back from the original.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="image", tooltip="The pictures with the face in them."
                ),
                io.Mask.Output(
                    "mask_out", display_name="mask", tooltip="How much of the face each pixel got."
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="For each face: its similarity to the reference before and after, and "
                    "the angle between the two heads.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        reference,
        faces,
        parser,
        mode: str,
        light: float,
        max_angle: float,
        no_face: str,
        swapper: str = NO_FILE,
        person: str = PERSONS[0],
    ) -> io.NodeOutput:
        brought = bring_faces(
            image, reference, faces, parser, mode, light, max_angle, no_face, Progress(),
            _swapper(swapper), person,
        )  # fmt: skip
        report = "\n".join(brought.report)
        return io.NodeOutput(brought.images, brought.mattes, report, ui=ui.PreviewText(report))


NODES: list[type[io.ComfyNode]] = [VisageBringFace]
