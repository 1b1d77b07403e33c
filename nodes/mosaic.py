"""Small faces restyled in tiles of their own, and pasted back where they keep the person."""

from __future__ import annotations

from contextlib import nullcontext

from comfy_api.latest import io, ui

from ..engines.comfyui.native_size import chosen_size
from ..engines.comfyui.progress import Progress, stop_if_interrupted
from ..engines.comfyui.upscale import upscaler
from ..techniques.mosaic import MosaicSettings, compose, flatten
from ..techniques.mosaic_restore import paste_back
from ..techniques.shapes import as_image
from .menu import menu
from .notes import note_empty_mask
from .sockets import FacesSocket, MosaicSocket


class VisageMosaicCompose(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageMosaicCompose",
            display_name="Mosaic Compose",
            **menu("Faces", "small faces", "group photo", "face tiles"),
            description="Enlarges and restores the small faces of a picture and lays them beside "
            "it on one canvas, so that a model which restyles the canvas has enough pixels to keep "
            "each person. Mosaic Restore pastes them back.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The pictures, of any size. The pictures of a batch share one layout.",
                ),
                FacesSocket.Input(
                    "faces",
                    tooltip="From Load Face Analyzer, which also says which faces are meant.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=0,
                    max=2048,
                    step=64,
                    tooltip="The picture size that the model likes, such as 512 for SD 1.5 and "
                    "1024 for SDXL. 0: the model's own; connect the model then. The picture's "
                    "shorter side is scaled to it, and face tiles are at most as large.",
                ),
                io.Float.Input(
                    "context",
                    default=1.6,
                    min=1.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Side of each face's crop, in lengths of its box: 1 is the box alone. "
                    "Less context shows the face larger.",
                ),
                io.Float.Input(
                    "restore",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the restored face its tile shows; the rest is the plain "
                    "enlargement. Lower it where the upscale model invents features.",
                ),
                io.Int.Input(
                    "smallest",
                    default=12,
                    min=1,
                    max=512,
                    tooltip="Faces of fewer pixels than this get no tile.",
                ),
                io.Int.Input(
                    "most",
                    default=16,
                    min=1,
                    max=100,
                    tooltip="The most faces of a picture that get a tile; the largest that need "
                    "one come first. If one canvas is too small for them, there are several.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    tooltip="What restores the faces, from Load Upscale Model, such as Real-ESRGAN "
                    "x4. Without it they are enlarged by Lanczos and sharpened a little.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will restyle the canvas; needed where size is 0.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "canvas",
                    display_name="canvas",
                    tooltip="The mosaic to restyle, as a whole and without changing its size.",
                ),
                io.Mask.Output(
                    "face_mask",
                    display_name="face mask",
                    tooltip="The faces on the canvas, for Identity Guard.",
                ),
                MosaicSocket.Output(
                    "mosaic", display_name="mosaic", tooltip="What is where, for Mosaic Restore."
                ),
                io.Image.Output(
                    "content",
                    display_name="content",
                    tooltip="The same canvas with the faces only enlarged, not restored: the "
                    "original's own features.",
                ),
                io.String.Output(
                    "summary",
                    display_name="summary",
                    tooltip="The faces, which of them got a tile, and why the others did not.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        faces,
        size: int,
        context: float,
        restore: float,
        smallest: int,
        most: int,
        upscale_model=None,
        model=None,
    ) -> io.NodeOutput:
        size = chosen_size(size, model)
        pictures = as_image(image)
        found = []
        for picture in flatten(pictures):
            stop_if_interrupted()
            found.append(faces.find(picture))
        settings = MosaicSettings(size, context, restore, smallest, most)
        with nullcontext() if upscale_model is None else upscaler(upscale_model) as enlarge:
            mosaic = compose(pictures, found, settings, enlarge, Progress())
        return io.NodeOutput(
            mosaic.canvas,
            mosaic.mask,
            mosaic,
            mosaic.content,
            mosaic.text(),
            ui=ui.PreviewText(mosaic.text()),
        )


class VisageMosaicRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageMosaicRestore",
            display_name="Mosaic Restore",
            **menu("Faces", "small faces", "group photo", "paste tiles"),
            description="Puts a restyled mosaic together to a picture again: the faces from their "
            "tiles go back to their places, without a seam. A face that its tile makes less like "
            "the person is left as the picture shows it.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("stylised", tooltip="The restyled canvas, at its own size."),
                MosaicSocket.Input("mosaic", tooltip="From Mosaic Compose."),
                io.Float.Input(
                    "seam_match",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the light and colour around it each face takes on.",
                ),
                io.Boolean.Input(
                    "keep_best",
                    default=True,
                    tooltip="Measure each face against the original, and leave it as the "
                    "background shows it where its tile is less like the person. Needs faces.",
                ),
                FacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip="What tells people apart, from Load Face Analyzer. Without it nothing "
                    "is measured and every face comes from its tile.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="A picture of the original's size that was restyled by other means: "
                    "the faces go into it instead of the canvas' own picture.",
                ),
                io.Mask.Input(
                    "style_mask",
                    optional=True,
                    tooltip="Where the style goes in the original picture. Where it is 0, faces "
                    "included, the result is the original, bit for bit.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    tooltip="The restyled pictures, at the originals' size.",
                ),
                io.Mask.Output(
                    "matte",
                    display_name="matte",
                    tooltip="How much of each pixel comes from a face's tile.",
                ),
                io.String.Output(
                    "summary",
                    display_name="summary",
                    tooltip="For each face, in words: its size, how much larger its tile showed "
                    "it, and how like the person it is, before and after.",
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="The same figures as JSON."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        stylised,
        mosaic,
        seam_match: float,
        keep_best: bool,
        faces=None,
        background=None,
        style_mask=None,
    ) -> io.NodeOutput:
        note_empty_mask(cls, style_mask, "style_mask")
        restored = paste_back(
            mosaic, stylised, faces, background, style_mask, seam_match, keep_best, Progress()
        )
        return io.NodeOutput(
            restored.image,
            restored.matte,
            restored.text(),
            restored.json(),
            ui=ui.PreviewText(restored.text()),
        )


NODES: list[type[io.ComfyNode]] = [VisageMosaicCompose, VisageMosaicRestore]
