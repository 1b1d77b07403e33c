"""A mask from words."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..engines.comfyui.prompt_mask import BACK_ENDS, mask_from_text
from ..models import registry
from ..models.registry import NO_FILE
from .menu import menu
from .sockets import FaceParserSocket


class VisagePromptMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePromptMask",
            display_name="Prompt Mask",
            **menu(
                "Masks",
                "text mask",
                "CLIPSeg",
                "segment anything",
                "SAM",
                "mask by text",
                essential=True,
            ),
            description="A mask from words. Parts of a person (hair, lips, hat, clothes, glasses, "
            "background ...) are found by the face parser, which is built in; any other words by "
            "CLIPSeg, or by Segment Anything with CLIP, once you have put in their files.",
            inputs=[
                io.Image.Input("image", tooltip="The picture."),
                io.String.Input(
                    "text",
                    default="hair",
                    tooltip="What to mask; several things separated by commas. A weight in 0 to 1 "
                    "makes a thing fainter: jacket:1.0, scarf:0.5.",
                ),
                io.Combo.Input(
                    "back_end",
                    options=BACK_ENDS,
                    default="auto",
                    tooltip="The model that finds the words. auto: the face parser if all words "
                    "name parts that it knows, otherwise CLIPSeg or, if only its file is chosen, "
                    "Segment Anything.",
                ),
                io.Combo.Input(
                    "clipseg",
                    options=[NO_FILE, *registry.options("clipseg", folder_paths)],
                    default=NO_FILE,
                    tooltip="CLIPSeg's weights file, in a folder of its own with config.json and "
                    "the tokenizer's files, under models/visage_clipseg.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    tooltip="For CLIPSeg: the threshold, as a fraction of the highest probability "
                    "in the picture.",
                ),
                FaceParserSocket.Input(
                    "parser",
                    optional=True,
                    tooltip="From Load Face Parser; the built-in one when nothing is connected.",
                ),
                io.Combo.Input(
                    "segment_anything",
                    options=[NO_FILE, *registry.options("segment_anything", folder_paths)],
                    default=NO_FILE,
                    optional=True,
                    tooltip="A Segment Anything model's weights file, in a folder of its own with "
                    "its other files, under models/visage_segment_anything. Needs CLIP as well.",
                ),
                io.Combo.Input(
                    "clip_model",
                    options=[NO_FILE, *registry.options("clip", folder_paths)],
                    default=NO_FILE,
                    optional=True,
                    tooltip="CLIP's weights file, in a folder of its own with its other files, "
                    "under models/visage_clip: it chooses among the segments.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask_out",
                    display_name="mask",
                    tooltip="All good candidates, without holes, each with its weight.",
                ),
                io.Image.Output(
                    "candidates",
                    display_name="candidates",
                    tooltip="The picture with every candidate in colour, with its words and score.",
                ),
                io.String.Output(
                    "scores",
                    display_name="scores",
                    tooltip="JSON: for each picture, the words, score and fraction of the picture "
                    "of each candidate.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        text: str,
        back_end: str,
        clipseg: str,
        threshold: float,
        parser=None,
        segment_anything: str = NO_FILE,
        clip_model: str = NO_FILE,
    ) -> io.NodeOutput:
        files = {"clipseg": clipseg, "segment_anything": segment_anything, "clip": clip_model}
        result = mask_from_text(image, text, back_end, threshold, files, parser)
        return io.NodeOutput(result.mask, result.overlay, result.json())


NODES: list[type[io.ComfyNode]] = [VisagePromptMask]
