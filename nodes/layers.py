"""Pictures as stacks of named layers: cut apart, edited one by one, put together, saved."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io, ui

from ..engines.comfyui.progress import Progress
from ..models.layer_files import LAYER_FILES, RasterLayer
from ..models.new_files import write_numbered
from ..techniques.layers import (
    as_layers,
    compose,
    keep_layers,
    pick_layer,
    raster_layers,
    replace_layer,
    split_layer,
)
from .menu import menu
from .sockets import LayersSocket


class VisageSplitLayers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSplitLayers",
            display_name="Split Layers",
            **menu("Masks", "layers", "cut out", "matte", "remove background"),
            description="Cuts the masked part of a picture out as a layer with a soft edge of its "
            "own colours, and fills the hole behind it. Chain one node for each layer, the topmost "
            "first.",
            inputs=[
                io.Image.Input("image", tooltip="The picture to cut apart."),
                io.Mask.Input("mask", tooltip="What the layer shows: a person, hair, clothes ..."),
                io.String.Input(
                    "name", default="person", tooltip="The layer's name, used once in the stack."
                ),
                LayersSocket.Input(
                    "layers",
                    optional=True,
                    tooltip="From the Split Layers before this one: the layer is cut from what "
                    "lies below those layers, and image is ignored.",
                ),
                io.Image.Input(
                    "behind",
                    optional=True,
                    tooltip="What the hole shows, such as the picture with the part removed by an "
                    "inpainting model. Without it the hole is filled smoothly from around it.",
                ),
            ],
            outputs=[
                LayersSocket.Output(
                    "layers_out", display_name="layers", tooltip="The stack with the new layer."
                ),
                io.Image.Output(
                    "colour",
                    display_name="layer",
                    tooltip="The new layer's own colours, without its transparency.",
                ),
                io.Mask.Output(
                    "alpha", display_name="mask", tooltip="Where the new layer is opaque."
                ),
                io.Image.Output(
                    "below",
                    display_name="behind",
                    tooltip="What is left below: the picture without the layer, the hole filled.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image, mask, name: str, layers=None, behind=None) -> io.NodeOutput:
        layers = split_layer(layers or as_layers(image), mask, name, behind)
        cut = pick_layer(layers, name)
        return io.NodeOutput(layers, cut.colour, cut.alpha, layers.stack[0].colour)


class VisagePickLayer(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePickLayer",
            display_name="Pick Layer",
            **menu("Masks", "layer", "get layer"),
            description="One layer of a stack as a picture and a mask, for any other node. Compose "
            "Layers puts it back.",
            inputs=[
                LayersSocket.Input("layers", tooltip="From Split Layers or Compose Layers."),
                io.String.Input(
                    "name",
                    default="background",
                    tooltip="The layer's name; the lowest is `background`.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image", display_name="image", tooltip="The layer's colours, opaque."
                ),
                io.Mask.Output("mask", display_name="mask", tooltip="Where the layer is opaque."),
            ],
        )

    @classmethod
    def execute(cls, layers, name: str) -> io.NodeOutput:
        layer = pick_layer(layers, name)
        return io.NodeOutput(layer.colour, layer.alpha)


class VisageComposeLayers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageComposeLayers",
            display_name="Compose Layers",
            **menu("Masks", "merge layers", "flatten", "composite"),
            description="The picture that a stack of layers shows. With an image it puts that into "
            "the named layer first; chain one node for each layer that was changed.",
            inputs=[
                LayersSocket.Input("layers", tooltip="From Split Layers or Compose Layers."),
                io.String.Input(
                    "name", default="background", tooltip="The layer that the image goes into."
                ),
                io.String.Input(
                    "show",
                    default="",
                    tooltip="The layers that are shown over the background, with commas between "
                    "them. Empty shows all.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="The layer's new picture, of the same size."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The layer's new mask. Without it the mask stays.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="image", tooltip="The picture that the stack shows."
                ),
                LayersSocket.Output(
                    "layers_out", display_name="layers", tooltip="The stack with the new layer."
                ),
            ],
        )

    @classmethod
    def execute(cls, layers, name: str, show: str, image=None, mask=None) -> io.NodeOutput:
        if image is not None:
            layers = replace_layer(layers, name, image, mask)
        names = [part for part in show.split(",") if part.strip()]
        shown = keep_layers(layers, names) if names else layers
        return io.NodeOutput(compose(shown), layers)


class VisageSaveLayers(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSaveLayers",
            display_name="Save Layers",
            **menu("Masks", "PSD", "OpenRaster", "ora", "export layers"),
            description="Saves a stack of layers to the output folder as OpenRaster (Krita, GIMP) "
            "or PSD (Photoshop), one file for each picture of a batch.",
            is_output_node=True,
            inputs=[
                LayersSocket.Input("layers", tooltip="From Split Layers or Compose Layers."),
                io.String.Input(
                    "filename_prefix",
                    default="visage/layers",
                    tooltip="Folder and beginning of the file's name, below ComfyUI's output "
                    "folder. No file is overwritten.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(LAYER_FILES),
                    default=next(iter(LAYER_FILES)),
                    tooltip="ora: OpenRaster, opened by Krita, GIMP and MyPaint. psd: opened by "
                    "Photoshop and others; needs the package psd-tools.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, layers, filename_prefix: str, format: str) -> io.NodeOutput:
        merged = compose(layers)
        height, width = layers.size
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )

        def named(number: int) -> Path:
            return Path(folder) / f"{name}_{number:05}_.{format}"

        progress, saved = Progress(), []
        for index, picture in enumerate(merged):
            shown = (picture * 255).round().to(torch.uint8).numpy()
            write = partial(_write, format, raster_layers(layers, index), shown)
            path = write_numbered(named, counter + index, write)
            saved.append(str(Path(subfolder) / path.name))
            progress(index + 1, len(merged))
        preview = ui.PreviewImage(merged, cls=cls).as_dict()
        return io.NodeOutput(ui={**preview, "text": saved})


def _write(format: str, layers: list[RasterLayer], merged: np.ndarray, path: Path) -> None:
    LAYER_FILES[format](path, layers, merged)


NODES: list[type[io.ComfyNode]] = [
    VisageSplitLayers,
    VisagePickLayer,
    VisageComposeLayers,
    VisageSaveLayers,
]
