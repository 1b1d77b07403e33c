"""Faces cropped at the model's own size, and their way back into the picture."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.native_size import chosen_size
from ..techniques.crops import crop_faces, paste_faces
from .menu import menu
from .notes import note, note_empty_mask
from .sockets import CropsSocket


class VisageCropFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageCropFaces",
            display_name="Crop Faces",
            **menu("Faces", "face detailer", "crop face", "inpaint crop"),
            description="Cuts each face out of a photograph of any size, with some context around "
            "it, at the model's own size. Paste Faces puts them back.",
            hidden=[io.Hidden.unique_id],
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
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Side of the square crops in pixels. 0: the model's own size; connect "
                    "the model then.",
                ),
                io.Float.Input(
                    "context",
                    default=0.8,
                    min=0.0,
                    max=8.0,
                    step=0.05,
                    tooltip="How much of the surroundings each crop shows, as a fraction of the "
                    "face's longer side: 0 is the face alone, 1 makes the crop twice as wide.",
                ),
                io.BBOX.Input(
                    "boxes",
                    optional=True,
                    tooltip="One box for each face, from Face Mask. With boxes these are cropped "
                    "instead of the mask's connected parts. Needed where a face's mask has "
                    "several parts, such as two eyes.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will edit the crops. Needed when size is 0.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="images", tooltip="The crops as one batch."
                ),
                io.Mask.Output(
                    "mask_out",
                    display_name="masks",
                    tooltip="For each crop, the part of the mask that belongs to its face.",
                ),
                CropsSocket.Output(
                    "crops",
                    display_name="crops",
                    tooltip="The positions of the crops, for Paste Faces.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image, mask, size: int, context: float, boxes=None, model=None
    ) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        size = chosen_size(size, model, smallest=8)
        images, masks, crops = crop_faces(image, mask, size, context, boxes)
        lost = sum(not crop.any() for crop in masks)
        if lost and mask.any():
            note(
                cls,
                f"{lost} of {len(masks)} crops hold nothing of the mask and will not be edited: "
                "its parts there are smaller than 8 pixels, or there are none.",
            )
        return io.NodeOutput(images, masks, crops)


class VisagePasteFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePasteFaces",
            display_name="Paste Faces",
            **menu("Faces", "uncrop", "paste face", "inpaint stitch"),
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
