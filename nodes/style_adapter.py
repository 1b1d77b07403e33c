"""IP-Adapter style: the look of one or more pictures, where it is wanted and without the face."""

from __future__ import annotations

import re

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io

from ..engines.comfyui_adapter import (
    LoadedAdapter,
    apply_style_adapter,
    as_adapter,
    blank_features,
    load_adapter,
    picture_features,
)
from ..engines.comfyui_messages import tell
from ..models import registry
from ..models.face_analyzer import FaceAnalyzer
from ..models.ip_adapter import require_matching_encoder
from ..techniques.face_choice import reference_embedding
from ..techniques.face_mask import face_mask
from ..techniques.shapes import as_image, as_mask, fit_mask, split_alpha
from ..techniques.style_adapter import COMBINE_MODES, WEIGHT_TYPES, StyleSettings
from .sockets import FaceParserSocket, FacesSocket, IPAdapterSocket

# Above this the prompt is hardly heard any more.
STRONG = 0.8
REFERENCE_MASKS = ["off", "auto", "mask"]


class VisageLoadIPAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadIPAdapter",
            display_name="Load IP-Adapter",
            category="Visage",
            description="A public IP-Adapter file: base, light, plus or full face, for SD 1.5 or "
            "SDXL. Which one it is, is read from its weights, whatever its name.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=registry.options("ip_adapter", folder_paths),
                    tooltip="An IP-Adapter from the folder models/ipadapter, or the starter's own. "
                    "A file fits one family of checkpoints and one CLIP vision model: base and "
                    "plus files mostly take ViT-H/14.",
                ),
            ],
            outputs=[
                IPAdapterSocket.Output(
                    "ipadapter", display_name="ipadapter", tooltip="For Style Adapter."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str = registry.BUILT_IN) -> bool | str:
        try:
            registry.locate("ip_adapter", file, folder_paths)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        path = registry.locate("ip_adapter", file, folder_paths)
        return f"{path} {path.stat().st_mtime_ns}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(load_adapter(registry.locate("ip_adapter", file, folder_paths)))


class VisageStyleAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleAdapter",
            display_name="Style Adapter",
            category="Visage",
            description="Gives what the model draws the look of a style picture, everywhere or in "
            "a region, and can leave the style picture's face out. Any sampler takes the model, "
            "and several of these nodes may follow each other.",
            inputs=[
                io.Model.Input("model", tooltip="The model to draw with, SD 1.5 or SDXL."),
                IPAdapterSocket.Input("ipadapter", tooltip="From Load IP-Adapter."),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="The image encoder that the adapter was trained with: mostly CLIP "
                    "ViT-H/14, from Load CLIP Vision.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="The style picture, or a batch of them. CLIP sees the middle square.",
                ),
                io.Float.Input(
                    "weight",
                    default=0.7,
                    min=-1.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How much of the style: 0 is none, and above 0.8 the prompt is hardly "
                    "heard any more.",
                ),
                io.Combo.Input(
                    "weight_type",
                    options=list(WEIGHT_TYPES),
                    default="linear",
                    tooltip="In which of the model's blocks. linear: all alike. ease in, ease out, "
                    "ease in-out: most in the first, the last, the middle ones. style: colours and "
                    "brushwork without the layout. composition: the layout alone. strong style: "
                    "all blocks but those of the layout.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From which part of the run on: 0 is its beginning. Later starts keep "
                    "the layout that the prompt makes.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Up to which part of the run: 1 is its end. The same as start_percent "
                    "leaves the model as it is.",
                ),
                io.Combo.Input(
                    "combine",
                    options=list(COMBINE_MODES),
                    default="concat",
                    tooltip="Several style pictures. concat: each place of the result looks at "
                    "all of them and takes what suits it. average: at the mean of them.",
                ),
                io.Combo.Input(
                    "reference_mask",
                    options=REFERENCE_MASKS,
                    default="off",
                    tooltip="What of the style picture stays unseen, so that it cannot leak. "
                    "off: nothing. auto: faces and hair, as the face parser finds them. mask: "
                    "what is white in style_mask.",
                ),
                io.String.Input(
                    "block_weights",
                    default="",
                    optional=True,
                    tooltip="In place of weight_type: one number for each block with "
                    "cross-attention (16 in SD 1.5, 11 in SDXL), or pairs such as '0-3: 1, "
                    "middle: 0.5, output: 0.2'. Each is multiplied by weight. Empty: weight_type.",
                ),
                io.String.Input(
                    "picture_weights",
                    default="",
                    optional=True,
                    tooltip="One number for each style picture, such as '1, 0.5'. Empty: 1 each.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip="Where in the result the style goes: 1 wholly, 0 not at all. Of any "
                    "size; it is stretched over the picture. One mask, or one for each picture of "
                    "the batch that is made.",
                ),
                io.Mask.Input(
                    "style_mask",
                    optional=True,
                    tooltip="For reference_mask 'mask': white on what of the style picture stays "
                    "unseen. One mask, or one for each style picture.",
                ),
                FaceParserSocket.Input(
                    "parser",
                    optional=True,
                    tooltip="For reference_mask 'auto': from Load Face Parser.",
                ),
                io.Image.Input(
                    "negative_image",
                    optional=True,
                    tooltip="A picture whose look is to be avoided. The negative prompt sees it in "
                    "place of a blank one.",
                ),
                FacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip="For FaceID adapters, from Load Face Analyzer: whose face is in the "
                    "picture takes the place of its look. Public FaceID files need an InsightFace "
                    "pack; clip_vision and reference_mask are then not used.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model_out",
                    display_name="model",
                    tooltip="The model with the style, for any sampler.",
                ),
                io.Mask.Output(
                    "unseen",
                    display_name="unseen",
                    tooltip="What of the style pictures stayed unseen, one mask each; look at it "
                    "when reference_mask is auto.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        ipadapter,
        clip_vision,
        image,
        weight: float,
        weight_type: str,
        start_percent: float,
        end_percent: float,
        combine: str,
        reference_mask: str,
        block_weights: str = "",
        picture_weights: str = "",
        region=None,
        style_mask=None,
        parser=None,
        negative_image=None,
        faces: FaceAnalyzer | None = None,
    ) -> io.NodeOutput:
        if weight > STRONG:
            tell(
                cls.hidden.unique_id,
                f"weight {weight:g}: above {STRONG} the style drowns the prompt.",
            )
        adapter = as_adapter(ipadapter)
        image, _ = split_alpha(as_image(image))
        avoided = None
        if negative_image is not None:
            avoided = split_alpha(as_image(negative_image, "negative_image"))[0][:1]
        if adapter.network.reads == "face_embedding":
            unseen = image.new_zeros(image.shape[:3])
            pictures = _people(adapter, faces, image)
            negative = torch.zeros_like(pictures[0])
            if avoided is not None:
                (negative,) = _people(adapter, faces, avoided)
        else:
            unseen = _unseen(image, reference_mask, style_mask, parser)
            pictures = picture_features(adapter, clip_vision, image, unseen)
            negative = blank_features(adapter, clip_vision)
            if avoided is not None:
                (negative,) = picture_features(adapter, clip_vision, avoided)
        settings = StyleSettings(
            weight=weight,
            weight_type=weight_type,
            block_weights=block_weights,
            start=start_percent,
            end=end_percent,
            combine=combine,
            picture_weights=_numbers(picture_weights),
            region=None if region is None else as_mask(region, "region"),
        )
        styled = apply_style_adapter(model, adapter, pictures, negative, settings)
        return io.NodeOutput(styled, unseen)


def _people(adapter: LoadedAdapter, faces: FaceAnalyzer | None, image) -> list[torch.Tensor]:
    """The embedding [1, D] of the largest face of each picture [R, H, W, 3]."""
    if faces is None:
        raise ValueError(
            "This is a FaceID adapter: it takes a person's face and no style. Connect faces from "
            "Load Face Analyzer, or load a base, light, plus or full-face IP-Adapter."
        )
    if faces.embedding_size:
        require_matching_encoder(adapter.network, faces.embedding_size)
    return [reference_embedding(picture[None], faces)[None] for picture in image]


def _unseen(image, reference_mask: str, style_mask, parser):
    """What the encoder is not shown of the style pictures, [R or 1, H, W]."""
    blank = image.new_zeros(image.shape[:3])
    if reference_mask == "mask":
        if style_mask is None:
            raise ValueError("reference_mask is 'mask': connect a style_mask, or choose 'off'.")
        return fit_mask(as_mask(style_mask, "style_mask"), *image.shape[1:3], "style_mask")
    if reference_mask == "off":
        return blank
    if parser is None:
        raise ValueError(
            "reference_mask is 'auto': connect a parser from Load Face Parser, or choose 'off'."
        )
    bar = comfy.utils.ProgressBar(1)

    def progress(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return face_mask(image, parser, ["face and hair"], progress=progress).mask


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in re.split(r"[,;\s]+", text.strip()) if part)
    except ValueError as error:
        raise ValueError(
            f"Cannot read the picture weights {text!r}: write numbers with commas between, one "
            "for each style picture."
        ) from error


NODES: list[type[io.ComfyNode]] = [VisageLoadIPAdapter, VisageStyleAdapter]
