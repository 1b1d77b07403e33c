"""Style from paintings without a diffusion model."""

from __future__ import annotations

import comfy.model_management
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

from ..engines.comfyui.progress import LearningProgress, ended_by_user, loss_map
from ..models import registry
from ..models.model_kinds import KINDS
from ..models.user_input import read_numbers
from ..models.vgg19 import load_vgg19
from ..techniques.colour_transfer import COLOUR_MODES
from ..techniques.gram_painting import OPTIMISERS, GramPainter
from ..techniques.neural_style import STARTS, NeuralStyle, Painter
from ..techniques.patch_painting import STEPS, PatchPainter
from ..techniques.shapes import as_image
from ..techniques.style_clip import masks_of, paint_batch, styles_of
from .menu import menu
from .notes import node_id
from .painting_inputs import BATCHES, regions_and_more_styles

METHODS = ("patches", "Gram (VGG-19)")
FIRST_FILE = "first file found"
GRAM_STEPS = 200


class VisageNeuralStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageNeuralStyle",
            display_name="Neural Style",
            **menu(
                "Style",
                "style transfer",
                "Gatys",
                "paint like",
                "painting",
                "strokes",
                essential=True,
            ),
            description="Paints a picture in the style of paintings, at its own size, and keeps "
            "the person in it. Needs no checkpoint; the patches method needs no files at all. "
            "Interrupting keeps the picture so far.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input(
                    "image", tooltip="The picture to paint. A batch is a clip: see batch."
                ),
                io.Image.Input(
                    "style",
                    tooltip="The painting. The pictures of a batch are mixed in equal parts.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=METHODS[0],
                    tooltip="patches: paints with patches of the painting itself; no files, about "
                    "20 s at 512 px on a CPU. Gram (VGG-19): Gatys' method; needs VGG-19 in "
                    "models/visage_vgg and better a graphics card.",
                ),
                io.Combo.Input(
                    "vgg",
                    options=[FIRST_FILE, *registry.options("vgg19", folder_paths)],
                    default=FIRST_FILE,
                    tooltip="Gram: the VGG-19 file.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the picture is painted: 0 leaves it as it is, bit for bit.",
                ),
                io.Float.Input(
                    "content_weight",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="Weight of the picture's content in the loss. Only its ratio to "
                    "style_weight matters.",
                ),
                io.Float.Input(
                    "style_weight",
                    default=1.0,
                    min=0.05,
                    max=20.0,
                    step=0.05,
                    tooltip="Weight of the style in the loss.",
                ),
                io.String.Input(
                    "layer_weights",
                    default="256, 64, 16, 4, 1",
                    tooltip="Gram: weights of relu1_1, 2_1, 3_1, 4_1 and 5_1: the first are "
                    "colours and grain, the last large forms.",
                ),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Longer side of the result in pixels; 0 keeps the picture's size. At "
                    "most 4096.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=2000,
                    tooltip="Steps of every size, from coarse to fine; 0 takes the method's own: "
                    f"{STEPS} for patches, {GRAM_STEPS} and then half of that for Gram.",
                ),
                io.Float.Input(
                    "coarsest",
                    default=0.15,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    tooltip="The first size as a fraction of the last. Smaller values paint "
                    "larger forms and change more of the layout; 0.5 changes only the surface.",
                ),
                io.Float.Input(
                    "style_scale",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="Size of the painting beside the picture: larger gives broader "
                    "strokes.",
                ),
                io.Combo.Input(
                    "start",
                    options=list(STARTS),
                    default=STARTS[0],
                    tooltip="What the optimisation starts from.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(COLOUR_MODES),
                    default=COLOUR_MODES[0],
                    tooltip="as the style: the painting's palette. keep the picture's: the "
                    "painting is tinted first. luminance only: strokes in light and dark, every "
                    "colour stays.",
                ),
                io.Combo.Input(
                    "optimiser",
                    options=list(OPTIMISERS),
                    default=OPTIMISERS[0],
                    tooltip="Gram: Adam is steady, L-BFGS needs fewer steps and more memory.",
                ),
                io.Combo.Input(
                    "batch",
                    options=list(BATCHES),
                    default=BATCHES[0],
                    tooltip="clip: strokes follow the motion of the clip, so nothing flickers. "
                    "pictures: each picture is painted on its own.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed of the patch search and of the initial noise.",
                ),
                io.Float.Input(
                    "keep_strength",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the content is kept under the keep mask. Even 1 still "
                    "looks painted; use Pixel Blend to leave something untouched.",
                ),
                io.Mask.Input(
                    "keep",
                    optional=True,
                    tooltip="A mask of the person, such as a soft mask from Face Mask. The "
                    "content weighs more there.",
                ),
                *regions_and_more_styles(),
            ],
            outputs=[
                io.Image.Output("image_out", display_name="image", tooltip="The painting."),
                io.LossMap.Output(
                    "loss",
                    display_name="loss",
                    tooltip="Loss of every step, for Plot Loss Graph. patches: mean distance of a "
                    "pixel's value from the nearest patches of the painting.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image, style, method: str, vgg: str, strength: float, content_weight: float,
        style_weight: float, layer_weights: str, size: int, steps: int, coarsest: float,
        style_scale: float, start: str, colour: str, optimiser: str, batch: str, seed: int,
        keep_strength: float, keep=None, region=None, style_2=None, region_2=None, style_3=None,
        region_3=None, mix: str = "1, 1, 1",
    ) -> io.NodeOutput:  # fmt: skip
        device = comfy.model_management.get_torch_device()
        frames = as_image(image, "image").to(device)
        styles = styles_of(frames, ((style, region), (style_2, region_2), (style_3, region_3)), mix)
        kept = None if keep is None else masks_of(keep, frames, "keep")
        settings = NeuralStyle(
            strength, content_weight, style_weight, size, coarsest, style_scale, colour, start,
            keep_strength, seed,
        )  # fmt: skip
        progress = LearningProgress(node_id(cls), 1)

        def watch(frame: int, done: int, total: int, picture: Tensor, loss: float) -> bool:
            progress.add(loss, frame * total + done, total * len(frames), picture)
            return ended_by_user()

        # A gradient needs weights that were not loaded in inference mode.
        with torch.inference_mode(False):
            painter = _painter(method, vgg, steps, optimiser, layer_weights, device)
        painted, losses = paint_batch(
            frames, styles, painter, settings, kept, batch == BATCHES[0], watch
        )
        return io.NodeOutput(painted.cpu(), loss_map(losses), ui=progress.ui())


def _painter(
    method: str, vgg: str, steps: int, optimiser: str, layer_weights: str, device: torch.device
) -> Painter:
    if method == METHODS[0]:
        return PatchPainter(steps=steps or STEPS)
    weights = read_numbers(layer_weights, "layer_weights")
    network = load_vgg19(_vgg_file(vgg)).network.features.to(device)
    return GramPainter(network, steps or GRAM_STEPS, optimiser, weights)


def _vgg_file(name: str):
    """The chosen VGG-19 file, or the first one. Raises FileNotFoundError saying where to get it."""
    found = registry.options("vgg19", folder_paths)
    if name != FIRST_FILE:
        return registry.locate("vgg19", name, folder_paths)
    known = KINDS["vgg19"].known_files[0]
    return registry.locate("vgg19", found[0] if found else known, folder_paths)


NODES: list[type[io.ComfyNode]] = [VisageNeuralStyle]
