"""IP-Adapter style: the look of one or more pictures, where it is wanted and without the face."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..engines.comfyui.adapter import (
    LoadedAdapter,
    apply_style_adapter,
    as_adapter,
    load_adapter,
)
from ..engines.comfyui.clip_vision import (
    LazyEncoder,
    fitting_encoder,
    load_encoder_file,
    load_image_encoder,
)
from ..engines.comfyui.memory import fingerprint
from ..engines.comfyui.style_pictures import REFERENCE_MASKS, look_at_pictures
from ..models import registry
from ..models.face_analyzer import FaceAnalyzer
from ..models.user_input import passes, read_numbers
from ..techniques.shapes import as_mask
from ..techniques.style_adapter import COMBINE_MODES, WEIGHT_TYPES, StyleSettings
from .menu import menu
from .notes import note, note_empty_mask
from .sockets import FaceParserSocket, FacesSocket, IPAdapterSocket

# Above this the prompt is hardly heard any more.
STRONG = 0.8
BY_WIDTH = "by width"


class VisageLoadIPAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadIPAdapter",
            display_name="Load IP-Adapter",
            **menu("Models", "IP-Adapter", "IPAdapter model"),
            description="A public IP-Adapter file: base, light, plus or full face, for SD 1.5 or "
            "SDXL. The type is detected from the weights, not from the file name.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=registry.options("ip_adapter", folder_paths),
                    tooltip="An IP-Adapter from the folder models/ipadapter, or the starter's own. "
                    "A file fits one family of checkpoints and one CLIP vision model: base and "
                    "plus files mostly take ViT-H/14.",
                ),
                io.Combo.Input(
                    "encoder",
                    options=[BY_WIDTH, *_encoders()],
                    default=BY_WIDTH,
                    optional=True,
                    tooltip="The image encoder for the output clip_vision, a file of "
                    "models/clip_vision. by width takes the first one whose features are as wide "
                    "as the adapter reads them. It is loaded when it is first used.",
                ),
            ],
            outputs=[
                IPAdapterSocket.Output(
                    "ipadapter", display_name="ipadapter", tooltip="For Style Adapter."
                ),
                io.ClipVision.Output(
                    "clip_vision",
                    display_name="clip_vision",
                    tooltip="The image encoder that fits, for Style Adapter. Empty for FaceID, "
                    "which reads faces.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str = registry.BUILT_IN) -> bool | str:
        return passes(registry.locate, "ip_adapter", file, folder_paths)

    @classmethod
    def fingerprint_inputs(cls, file: str, encoder: str = BY_WIDTH) -> str:
        return f"{fingerprint(registry.locate('ip_adapter', file, folder_paths))} {encoder}"

    @classmethod
    def execute(cls, file: str, encoder: str = BY_WIDTH) -> io.NodeOutput:
        adapter = load_adapter(registry.locate("ip_adapter", file, folder_paths))
        if adapter.network.reads == "face_embedding":
            return io.NodeOutput(adapter, None)
        return io.NodeOutput(adapter, LazyEncoder(partial(_encoder, file, encoder, adapter)))


def _encoders() -> list[str]:
    return folder_paths.get_filename_list("clip_vision")


def _encoder(file: str, encoder: str, adapter: LoadedAdapter):
    """The image encoder that was chosen, or the one that fits the adapter."""
    if encoder != BY_WIDTH:
        return load_encoder_file(Path(folder_paths.get_full_path_or_raise("clip_vision", encoder)))
    if file == registry.BUILT_IN:
        return load_image_encoder()
    files = [Path(folder_paths.get_full_path_or_raise("clip_vision", name)) for name in _encoders()]
    return load_encoder_file(fitting_encoder(adapter.network, files))


class VisageStyleAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleAdapter",
            display_name="Style Adapter",
            **menu("Style", "IP-Adapter", "IPAdapter", "style reference", essential=True),
            description="Gives the generated picture the look of a style picture, everywhere or "
            "in a region, and can ignore the style picture's face. The model works with any "
            "sampler, and several of these nodes can be chained.",
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
                    tooltip="How strongly the style acts: 0 not at all. Above 0.8 the prompt has "
                    "little effect.",
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
                    tooltip="When the style starts to act, as a fraction of the run. Later starts "
                    "keep the layout that the prompt gives.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="When the style stops acting, as a fraction of the run. If it equals "
                    "start_percent, the model is left as it is.",
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
                    tooltip="Which part of the style picture is hidden from the encoder, so that "
                    "it cannot leak into the result. off: nothing. auto: faces and hair, as the "
                    "face parser finds them. mask: what is white in style_mask.",
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
                    tooltip="For reference_mask 'mask': white where the style picture is hidden. "
                    "One mask, or one for each style picture.",
                ),
                FaceParserSocket.Input(
                    "parser",
                    optional=True,
                    tooltip="For reference_mask 'auto': from Load Face Parser.",
                ),
                io.Image.Input(
                    "negative_image",
                    optional=True,
                    tooltip="A picture whose look is to be avoided. The negative prompt uses it "
                    "instead of a blank picture.",
                ),
                FacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip="For FaceID adapters, from Load Face Analyzer: the person in the "
                    "picture is used instead of its look. Public FaceID files need an InsightFace "
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
                    tooltip="The part of each style picture that was hidden, one mask each. Check "
                    "it when reference_mask is auto.",
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
            note(cls, f"weight {weight:g}: above {STRONG} the style drowns the prompt.")
        note_empty_mask(cls, region, "region")
        if reference_mask == "mask":
            note_empty_mask(cls, style_mask, "style_mask")
        adapter = as_adapter(ipadapter)
        seen = look_at_pictures(
            adapter, clip_vision, image, reference_mask, style_mask, parser, negative_image, faces
        )
        settings = StyleSettings(
            weight=weight,
            weight_type=weight_type,
            block_weights=block_weights,
            start=start_percent,
            end=end_percent,
            combine=combine,
            picture_weights=tuple(read_numbers(picture_weights, "picture_weights")),
            region=None if region is None else as_mask(region, "region"),
        )
        styled = apply_style_adapter(model, adapter, seen.features, seen.negative, settings)
        return io.NodeOutput(styled, seen.unseen)


NODES: list[type[io.ComfyNode]] = [VisageLoadIPAdapter, VisageStyleAdapter]
