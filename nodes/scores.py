"""How much of the person and how much of a style a picture has."""

from __future__ import annotations

import folder_paths
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..engines.comfyui.progress import Progress
from ..engines.comfyui.style_features import style_extractor, style_fingerprint
from ..models import registry
from ..models.face_analyzer import FaceAnalyzer
from ..models.user_input import passes
from ..techniques.identity_score import NO_FACE, OWN_THRESHOLD, report_identity
from ..techniques.shapes import as_image, match_batch, split_alpha
from ..techniques.style_score import StyleJudge, score_styles
from .menu import menu
from .sockets import FacesSocket


class VisageIdentityScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageIdentityScore",
            display_name="Identity Score",
            **menu("Scores", "face similarity", "same person", "cosine", "face distance"),
            description="Measures how much each face of a picture is still the same person after "
            "an edit or a change of style, and separates the pictures by that.",
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
                    tooltip="What happens to a picture whose original shows no face: it is "
                    "accepted, it is rejected, or the run stops.",
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
                    tooltip="The results in which every person is still the same. If there are "
                    "none, the nodes connected here do not run.",
                ),
                io.Image.Output(
                    "rejected",
                    display_name="rejected",
                    tooltip="The other results. If there are none, the nodes connected here do "
                    "not run.",
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
        before, after = match_batch(before, as_image(result, "result"), "original", "result")
        judged = report_identity(
            before, split_alpha(after)[0], faces, accept_from, no_face, Progress()
        )
        return io.NodeOutput(
            judged.score,
            judged.text,
            _chosen(after, judged.accepted),
            _chosen(after, [not one for one in judged.accepted]),
            judged.overlay,
            judged.json,
            ui=ui.PreviewText(judged.text),
        )


def _chosen(pictures: torch.Tensor, wanted: list[bool]):
    """The wanted pictures; a silent stop for what comes after where there are none."""
    return pictures[torch.tensor(wanted)] if any(wanted) else ExecutionBlocker(None)


class VisageStyleScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleScore",
            display_name="Style Score",
            **menu("Scores", "Gram matrix", "style loss", "style similarity"),
            description="Measures how close a result is to a style picture, in textures and in "
            "colours.",
            inputs=[
                io.Image.Input("result", tooltip="The restyled picture, or a batch of them."),
                io.Image.Input(
                    "style",
                    tooltip="The style picture, or several pictures of one style, of "
                    "which the mean is used.",
                ),
                io.Combo.Input(
                    "features",
                    options=[registry.BUILT_IN, *registry.options("vgg19", folder_paths)],
                    default=registry.BUILT_IN,
                    tooltip="The features that textures are compared by: VGG-19's Gram matrices "
                    "(a file in models/visage_vgg), or the starter's image encoder, which knows "
                    "drawn pictures. Scores of the two cannot be compared.",
                ),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="The pictures before. With them a score of 0 means no closer to the "
                    "style than they were; without them it means unlike the style altogether.",
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
                    tooltip="1 is the style itself, 0 no change towards it, and below 0 is "
                    "further away. For a batch, the mean.",
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
        return passes(style_fingerprint, features)

    @classmethod
    def fingerprint_inputs(cls, features: str, **pictures) -> str:
        return style_fingerprint(features)

    @classmethod
    def execute(
        cls, result, style, features: str, original=None, clip_vision=None
    ) -> io.NodeOutput:
        pictures, styles = (
            split_alpha(as_image(image, name))[0]
            for image, name in ((result, "result"), (style, "style"))
        )
        judge = StyleJudge(style_extractor(features, clip_vision), styles)
        before = None
        if original is not None:
            before = split_alpha(as_image(original, "original"))[0]
            before, pictures = match_batch(before, pictures, "original", "result")
        scores = score_styles(pictures, judge, before, Progress())
        report = "\n".join(scores.lines)
        return io.NodeOutput(scores.style, scores.colour, report, ui=ui.PreviewText(report))


NODES: list[type[io.ComfyNode]] = [VisageIdentityScore, VisageStyleScore]
