"""Faces cropped at the model's own size, and their way back into the picture."""

from __future__ import annotations

from comfy_api.latest import io

from ..techniques.crops import crop_faces, paste_faces
from .sockets import CropsSocket


class VisageCropFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageCropFaces",
            display_name="Crop Faces",
            category="Visage",
            description="Cuts each face out of a photograph of any size, with some context around "
            "it, at the model's own size. Paste Faces puts them back.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures, of any size."),
                io.Mask.Input(
                    "mask",
                    tooltip="The faces' mask. Each connected part of it is a face; specks are "
                    "left out. A picture without a face gives one crop of the whole picture with "
                    "an empty mask.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=8,
                    max=4096,
                    step=8,
                    tooltip="Side of the square crops in pixels. Take the model's own: 512 for "
                    "SD 1.5, 128 for the starter models.",
                ),
                io.Float.Input(
                    "context",
                    default=0.8,
                    min=0.0,
                    max=8.0,
                    step=0.05,
                    tooltip="How much of the surroundings each crop shows, as a share of the "
                    "face's longer side: 0 is the face alone, 1 makes the crop twice as wide.",
                ),
                io.BBOX.Input(
                    "boxes",
                    optional=True,
                    tooltip="One box for each face, from Face Mask: then these are cropped, not "
                    "the mask's connected parts. Needed where a face's mask is in several parts, "
                    "such as two eyes.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="images", tooltip="The crops as one batch."
                ),
                io.Mask.Output(
                    "mask_out",
                    display_name="masks",
                    tooltip="For each crop its own face's part of the mask.",
                ),
                CropsSocket.Output(
                    "crops", display_name="crops", tooltip="Where they were, for Paste Faces."
                ),
            ],
        )

    @classmethod
    def execute(cls, image, mask, size: int, context: float, boxes=None) -> io.NodeOutput:
        return io.NodeOutput(*crop_faces(image, mask, size, context, boxes))


class VisagePasteFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePasteFaces",
            display_name="Paste Faces",
            category="Visage",
            description="Puts edited crops back where Crop Faces took them. Blend the result into "
            "the original with Pixel Blend and the full picture's mask.",
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="The edited crops: as many as were taken, in the same order.",
                ),
                CropsSocket.Input("crops", tooltip="From Crop Faces."),
                io.Image.Input("original", tooltip="The pictures that the crops were taken from."),
            ],
            outputs=[
                io.Image.Output(
                    "image_out",
                    display_name="image",
                    tooltip="The pictures with the crops in place; every pixel outside the crops "
                    "is the original's.",
                )
            ],
        )

    @classmethod
    def execute(cls, images, crops, original) -> io.NodeOutput:
        return io.NodeOutput(paste_faces(images, crops, original))


NODES: list[type[io.ComfyNode]] = [VisageCropFaces, VisagePasteFaces]
