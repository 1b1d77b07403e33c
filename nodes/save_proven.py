"""The edited picture saved with the proof of what was left untouched."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
import numpy as np
from comfy.cli_args import args
from comfy_api.latest import io
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..models.picture_files import CLAIM, save_new_png
from ..techniques.edit_claim import make_claim
from ..techniques.shapes import as_image, as_mask, fit_mask, match_batch, split_alpha
from .menu import menu


class VisageSaveProven(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSaveProven",
            display_name="Save Proven",
            **menu("Edit", "save proof", "provenance", "verify"),
            description="Saves the edited picture as PNG with a claim in it: which original it was "
            "made from and where it may differ from it. `visage verify` checks the claim.",
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Image.Input("image", tooltip="The edited picture, from Pixel Blend."),
                io.Image.Input("original", tooltip="The picture that it was made from."),
                io.Mask.Input(
                    "mask", tooltip="Where it was edited: the soft mask that Pixel Blend had."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="visage/proven",
                    tooltip="Folder and beginning of the file's name, below ComfyUI's output "
                    "folder. No file is overwritten.",
                ),
                io.String.Input(
                    "scores",
                    optional=True,
                    force_input=True,
                    tooltip="Scores of the edit, such as Identity Score's, to be kept in the file.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(
        cls, image, original, mask, filename_prefix: str, scores: str | None = None
    ) -> io.NodeOutput:
        image, original = as_image(image, "image"), as_image(original, "original")
        height, width = original.shape[1:3]
        if tuple(image.shape[1:3]) != (height, width):
            raise ValueError(
                f"image is {image.shape[2]} x {image.shape[1]} px and original {width} x {height} "
                "px; connect the result of Pixel Blend."
            )
        mask = fit_mask(as_mask(mask), height, width)
        original, mask = match_batch(original, mask, "original", "mask")
        image, original = match_batch(image, original, "image", "original")
        image, mask = match_batch(image, mask, "image", "mask")
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        saved = []
        for number, (edited, before, where) in enumerate(zip(image, original, mask, strict=True)):
            claim = make_claim(_bytes(before), where.numpy(), scores=scores)
            path = save_new_png(
                Image.fromarray(_bytes(edited)),
                Path(folder),
                f"{name}_{{:05}}_.png",
                counter + number,
                cls._metadata(claim),
            )
            saved.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
        return io.NodeOutput(ui={"images": saved})

    @classmethod
    def _metadata(cls, claim: dict) -> PngInfo:
        """The claim beside what ComfyUI's own Save Image keeps."""
        info = PngInfo()
        info.add_text(CLAIM, json.dumps(claim))
        if not args.disable_metadata:
            kept = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
            for key, value in kept.items():
                info.add_text(key, json.dumps(value))
        return info


def _bytes(picture: Tensor) -> np.ndarray:
    """RGB uint8 [H, W, 3]; rounded, so a loaded picture comes out as it was in its file."""
    rgb, _ = split_alpha(picture.unsqueeze(0))
    return (rgb[0].clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8)


NODES: list[type[io.ComfyNode]] = [VisageSaveProven]
