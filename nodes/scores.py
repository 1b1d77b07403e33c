"""How much of the person and how much of a style a picture has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..engines.comfyui import load_image_encoder, wrap_parser
from ..models import registry
from ..models.face_analyzer import FaceAnalyzer
from ..models.starter_files import starter_file
from ..models.vgg19 import Vgg19Features, load_vgg19
from ..techniques.identity_score import (
    NO_FACE,
    as_json,
    describe,
    draw_identity,
    identity_scores,
    is_accepted,
    mean_score,
)
from ..techniques.shapes import as_image, match_batch, split_alpha
from ..techniques.style_score import Extractor, StyleJudge, gram_matrices, style_score
from .sockets import FacesSocket

OWN_THRESHOLD = -1.0

# Nodes have no state of their own: the last VGG-19 is kept here, by file and time of change.
_vgg: dict[tuple[Path, int], Vgg19Features] = {}


class VisageIdentityScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageIdentityScore",
            display_name="Identity Score",
            category="Visage",
            description="Says how much each face of a picture is still the same person after it "
            "was edited or restyled, and sorts the pictures by that.",
            inputs=[
                io.Image.Input("original", tooltip="The pictures before, or one for all results."),
                io.Image.Input(
                    "result",
                    tooltip="The pictures after: of the original's size, padded by up to 7 pixels, "
                    "or resized as a whole.",
                ),
                FacesSocket.Input("faces", tooltip="From Load Face Analyzer."),
                io.Float.Input(
                    "accept_from",
                    default=OWN_THRESHOLD,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    tooltip="A picture is accepted when the cosine of each of its faces is at "
                    "least this. -1 takes the analyzer's own threshold for the same person.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=list(NO_FACE),
                    default=NO_FACE[0],
                    tooltip="What becomes of a picture whose original shows no face: it is "
                    "accepted, rejected, or stops the run.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "identity",
                    display_name="identity",
                    tooltip="Mean cosine over all faces of 20 pixels and more, -1 to 1; 1 is the "
                    "very same face. Not a number (NaN) when there is no such face.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="A line for each face: place, cosine, verdict (same, unsure, "
                    "different), and whether the analyzer still finds it.",
                ),
                io.Image.Output(
                    "accepted",
                    display_name="accepted",
                    tooltip="The results in which everybody is still the same person. Without "
                    "any, what is connected here does not run.",
                ),
                io.Image.Output(
                    "rejected",
                    display_name="rejected",
                    tooltip="The other results. Without any, what is connected here does not run.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The results with each face's cosine and verdict in its colour.",
                ),
                io.String.Output("scores", display_name="scores", tooltip="The same as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls, original, result, faces: FaceAnalyzer, accept_from: float, no_face: str
    ) -> io.NodeOutput:
        before = split_alpha(as_image(original, "original"))[0]
        after = as_image(result, "result")
        before, after = match_batch(before, after, "original", "result")
        pictures = identity_scores(before, split_alpha(after)[0], faces, _progress())
        limit = accept_from
        if limit == OWN_THRESHOLD and faces.thresholds:
            limit = faces.thresholds.same
        good = [is_accepted(number, p, limit, no_face) for number, p in enumerate(pictures)]
        overlay = torch.stack(
            [draw_identity(*trio) for trio in zip(before, after[..., :3], pictures, strict=True)]
        )
        report = describe(pictures, faces)
        return io.NodeOutput(
            mean_score(pictures),
            report,
            _chosen(after, good),
            _chosen(after, [not one for one in good]),
            overlay,
            as_json(pictures, good, faces),
            ui=ui.PreviewText(report),
        )


def _chosen(pictures: torch.Tensor, wanted: list[bool]):
    """The wanted pictures; a silent stop for what comes after where there are none."""
    return pictures[torch.tensor(wanted)] if any(wanted) else ExecutionBlocker(None)


def _progress() -> Callable[[int, int], None]:
    bar = comfy.utils.ProgressBar(1)

    def progress(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return progress


class VisageStyleScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleScore",
            display_name="Style Score",
            category="Visage",
            description="Says how much of a style picture's look a result has: its textures, and "
            "its colours.",
            inputs=[
                io.Image.Input("result", tooltip="The restyled picture, or a batch of them."),
                io.Image.Input(
                    "style", tooltip="The style picture, or several of one style: their mean."
                ),
                io.Combo.Input(
                    "features",
                    options=[registry.BUILT_IN, *registry.options("vgg19", folder_paths)],
                    default=registry.BUILT_IN,
                    tooltip="What tells textures apart: VGG-19's Gram matrices (a file in "
                    "models/visage_vgg), or the starter's image encoder, which knows drawn "
                    "pictures. Scores of the two cannot be compared.",
                ),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="The pictures before. With them 0 means as unlike the style as they "
                    "were; without, unlike any style.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="Another image encoder in the starter's place, from Load CLIP Vision. "
                    "Not used with VGG-19.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "style_score",
                    display_name="style",
                    tooltip="The part of the way to the style: 1 is the style itself, below 0 "
                    "leads away from it. The mean of a batch.",
                ),
                io.Float.Output(
                    "colour_distance",
                    display_name="colour distance",
                    tooltip="How far the colours are from the style's, in units of Lab: 2 or 3 "
                    "are just visible. The mean of a batch.",
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="A line for each picture."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, features: str = registry.BUILT_IN) -> bool | str:
        try:
            _fingerprint(features)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, features: str, **pictures) -> str:
        return _fingerprint(features)

    @classmethod
    def execute(
        cls, result, style, features: str, original=None, clip_vision=None
    ) -> io.NodeOutput:
        pictures, styles = (
            split_alpha(as_image(image, name))[0]
            for image, name in ((result, "result"), (style, "style"))
        )
        judge = StyleJudge(_extractor(features, clip_vision), styles)
        before = None
        if original is not None:
            before = split_alpha(as_image(original, "original"))[0]
            before, pictures = match_batch(before, pictures, "original", "result")
        progress = _progress()
        lines, scores, colours = [], [], []
        for number, picture in enumerate(pictures):
            progress(number, len(pictures))
            distance, colour = judge.distances(picture)
            start = None if before is None else judge.distances(before[number])
            scores.append(style_score(distance, start[0] if start else None))
            colours.append(colour)
            was = f" (the original's: {start[1]:.1f})" if start else ""
            lines.append(
                f"picture {number}: style {scores[-1]:.3f}, colour distance {colour:.1f}{was}"
            )
        progress(len(pictures), len(pictures))
        report = "\n".join(lines)
        return io.NodeOutput(
            sum(scores) / len(scores),
            sum(colours) / len(colours),
            report,
            ui=ui.PreviewText(report),
        )


def _fingerprint(features: str) -> str:
    """The file that tells textures apart and when it changed; FileNotFoundError without it."""
    if features == registry.BUILT_IN:
        path = starter_file("image_encoder")
    else:
        path = registry.locate("vgg19", features, folder_paths)
    return f"{path} {path.stat().st_mtime_ns}"


def _extractor(features: str, clip_vision) -> Extractor:
    """From a picture [H, W, 3] to Gram matrices [C, C] or to an embedding [D]."""
    if features != registry.BUILT_IN:
        vgg = _load_vgg(registry.locate("vgg19", features, folder_paths))
        return lambda picture: gram_matrices(vgg.of(picture))
    encoder = clip_vision or load_image_encoder()
    # Not cropped: what lies at the sides is as much style as the middle.
    return lambda picture: encoder.encode_image(picture[None], crop=False)["image_embeds"][0].cpu()


def _load_vgg(path: Path) -> Vgg19Features:
    key = (path, path.stat().st_mtime_ns)
    if key not in _vgg:
        _vgg.clear()
        _vgg[key] = wrap_parser(load_vgg19(path))
    return _vgg[key]


NODES: list[type[io.ComfyNode]] = [VisageIdentityScore, VisageStyleScore]
