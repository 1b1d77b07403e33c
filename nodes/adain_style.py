"""Any picture's style in one pass."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import folder_paths
from comfy_api.latest import io

from ..engines.comfyui.memory import fingerprint, kept
from ..engines.comfyui.progress import Progress
from ..models import registry
from ..models.adain import load_pair, load_public_pair
from ..models.needed_files import ADAIN_FILES, ADAIN_PUBLIC
from ..models.user_input import passes
from ..techniques.adain_style import AdaINStyle, paint_adain
from ..techniques.colour_transfer import COLOUR_MODES
from ..techniques.shapes import as_image
from ..techniques.style_clip import masks_of, styles_of
from .menu import menu
from .painting_inputs import BATCHES, clip_and_keep, keep_strength, regions_and_more_styles

KIND = "adain"
PUBLIC_NAMES = tuple(Path(name).stem for name in ADAIN_FILES)


class VisageAdaINStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageAdaINStyle",
            display_name="AdaIN Style",
            **menu("Style", "AdaIN", "arbitrary style transfer", "stylize", "video style"),
            description="Paints pictures and clips in the style of any painting in one pass, "
            "without learning it first: features take the painting's mean and deviation.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures; a batch is a clip: see batch."),
                io.Image.Input(
                    "style",
                    tooltip="The painting. The pictures of a batch are mixed in equal parts.",
                ),
                io.Combo.Input(
                    "model",
                    options=_models(),
                    tooltip="Encoder and decoder. built in: palette and light of the painting, no "
                    "strokes. public files: vgg_normalised.pth and decoder.pth of AdaIN in "
                    "models/visage_adain.",
                ),
                io.Float.Input(
                    "alpha",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far features take the painting's statistics: 0 leaves the picture "
                    "as it is, bit for bit.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(COLOUR_MODES),
                    default=COLOUR_MODES[0],
                    tooltip="as the style: the painting's palette. keep the picture's: the "
                    "painting is tinted first. luminance only: every colour stays.",
                ),
                io.Float.Input(
                    "style_scale",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="Size at which the painting is looked at: its shorter side has 512 px "
                    "at 1, or its own size where that is smaller. Larger gives broader strokes.",
                ),
                keep_strength(),
                io.Int.Input(
                    "tile",
                    default=512,
                    min=64,
                    max=4096,
                    step=64,
                    tooltip="Side in pixels beyond which a picture goes through in tiles, which "
                    "bounds memory. Statistics are the whole picture's, so no seam is seen.",
                ),
                *clip_and_keep(),
                *regions_and_more_styles(),
            ],
            outputs=[io.Image.Output("image_out", display_name="image", tooltip="The paintings.")],
        )

    @classmethod
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        return True if model is None else passes(_files, model)

    @classmethod
    def fingerprint_inputs(cls, model: str, **others) -> str:
        return fingerprint(*_files(model))

    @classmethod
    def execute(
        cls, image, style, model: str, alpha: float, colour: str, style_scale: float,
        keep_strength: float, tile: int, batch: str, keep=None, region=None, style_2=None,
        region_2=None, style_3=None, region_3=None, mix: str = "1, 1, 1",
    ) -> io.NodeOutput:  # fmt: skip
        device = comfy.model_management.get_torch_device()
        frames = as_image(image, "image").to(device)
        styles = styles_of(frames, ((style, region), (style_2, region_2), (style_3, region_3)), mix)
        keep_mask = None if keep is None else masks_of(keep, frames, "keep")
        pair = kept(load_public_pair if model == ADAIN_PUBLIC else load_pair, *_files(model))
        settings = AdaINStyle(alpha, colour, keep_strength, style_scale, tile)
        painted = paint_adain(
            frames, styles, pair.to(device), settings, keep_mask, batch == BATCHES[0], Progress()
        )
        return io.NodeOutput(painted.cpu())


def _models() -> list[str]:
    """What the widget offers: the built-in pair where there is one, the public files, and pairs
    of the user's in one file."""
    found = registry.options(KIND, folder_paths)
    pairs = [name for name in found if Path(name).stem not in PUBLIC_NAMES]
    built_in = [name for name in pairs if name == registry.BUILT_IN]
    return [*built_in, ADAIN_PUBLIC, *(name for name in pairs if name not in built_in)]


def _files(model: str) -> list[Path]:
    """The file or both files of a model; FileNotFoundError saying where to get them."""
    if model != ADAIN_PUBLIC:
        return [registry.locate(KIND, model, folder_paths)]
    found = registry.options(KIND, folder_paths)
    names = (
        next((name for name in found if Path(name).stem == stem), f"{stem}.pth")
        for stem in PUBLIC_NAMES
    )
    return [registry.locate(KIND, name, folder_paths) for name in names]


NODES: list[type[io.ComfyNode]] = [VisageAdaINStyle]
