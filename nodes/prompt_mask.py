"""A mask from words."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..engines.comfyui import wrap_parser
from ..models import registry
from ..models.clip_similarity import load_clip_similarity
from ..models.clipseg import load_clipseg
from ..models.face_parser import load_face_parser
from ..models.segment_anything import load_segment_anything
from ..techniques.prompt_mask import (
    PromptMask,
    mask_of_parts,
    mask_of_segments,
    mask_of_words,
    named_parts,
    split_phrases,
)
from .sockets import FaceParserSocket

BACK_ENDS = ["auto", "face parser", "clipseg", "segment anything"]
NO_FILE = "none"


class VisagePromptMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePromptMask",
            display_name="Prompt Mask",
            category="Visage",
            description="A mask from words. Parts of a person (hair, lips, hat, clothes, glasses, "
            "background ...) are found by the face parser, which is built in; any other words by "
            "CLIPSeg, or by Segment Anything with CLIP, once you have put in their files.",
            inputs=[
                io.Image.Input("image", tooltip="The picture."),
                io.String.Input(
                    "text",
                    default="hair",
                    tooltip="What to mask; several things separated by commas.",
                ),
                io.Combo.Input(
                    "back_end",
                    options=BACK_ENDS,
                    default="auto",
                    tooltip="What looks for the words. auto: the face parser where they all name "
                    "parts that it knows, otherwise CLIPSeg.",
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
                    tooltip="For CLIPSeg: how sure it must be, as a part of its surest place.",
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
                    "mask_out", display_name="mask", tooltip="All good candidates, without holes."
                ),
                io.Image.Output(
                    "candidates",
                    display_name="candidates",
                    tooltip="The picture with every candidate in colour, with its words and score.",
                ),
                io.String.Output(
                    "scores",
                    display_name="scores",
                    tooltip="JSON: for each picture the candidates' words, scores and shares.",
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
        phrases = split_phrases(text)
        foreign = [phrase for phrase in phrases if named_parts(phrase) is None]
        if back_end == "auto":
            segments = clipseg == NO_FILE and segment_anything != NO_FILE
            back_end = "segment anything" if segments else "clipseg"
            back_end = back_end if foreign else "face parser"
        if back_end == "face parser":
            if parser is None:
                path = registry.locate("face_parser", registry.BUILT_IN, folder_paths)
                parser = wrap_parser(load_face_parser(path))
            result = mask_of_parts(image, phrases, parser)
        elif back_end == "clipseg":
            network = load_clipseg(_file("clipseg", clipseg, foreign or phrases))
            result = mask_of_words(image, phrases, wrap_parser(network), threshold)
        else:
            segmenter = load_segment_anything(
                _file("segment_anything", segment_anything, foreign or phrases)
            )
            clip = load_clip_similarity(_file("clip", clip_model, foreign or phrases))
            result = mask_of_segments(image, phrases, wrap_parser(segmenter), wrap_parser(clip))
        return io.NodeOutput(result.mask, result.overlay, _scores(result))


def _file(key: str, name: str, phrases: list[str]) -> Path:
    if name == NO_FILE:
        kind = registry.KINDS[key]
        folders = ", ".join(folder_paths.get_folder_paths(kind.folder))
        raise FileNotFoundError(
            f"No file is chosen for {kind.what}, which is to look for "
            f"{', '.join(map(repr, phrases))}. Get {kind.where_from} (licence: {kind.licence}), "
            f"put it into a folder of its own under {folders}, and choose it here; or name parts "
            "of a person, which the face parser knows."
        )
    return registry.locate(key, name, folder_paths)


def _scores(result: PromptMask) -> str:
    pictures = [
        [
            {
                "words": candidate.words,
                "score": round(candidate.score, 4),
                "share": round(float(candidate.mask.mean()), 4),
                "in_mask": candidate.good,
            }
            for candidate in candidates
        ]
        for candidates in result.candidates
    ]
    return json.dumps(pictures, indent=2)


NODES: list[type[io.ComfyNode]] = [VisagePromptMask]
