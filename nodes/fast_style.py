"""A style in a small network: one pass paints a picture."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import folder_paths
from comfy_api.latest import io

from ..engines.comfyui.memory import fingerprint
from ..engines.comfyui.progress import LearningProgress, Progress, ended_by_user, loss_map
from ..models import registry
from ..models.fast_style import built_in_styles, load_fast_style
from ..models.user_input import passes
from ..techniques.colour_transfer import COLOUR_MODES
from ..techniques.fast_style import paint_fast
from ..techniques.shapes import as_image, split_alpha
from ..training.fast_style import FastStyleSettings, save_fast_style, train_fast_style
from .menu import menu
from .notes import node_id
from .painting_inputs import BATCHES, clip_and_keep, keep_strength
from .sockets import FastStyleSocket

KIND = "fast_style"


class VisageLoadFastStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFastStyle",
            display_name="Load Fast Style",
            **menu("Models", "fast neural style", "style network"),
            description="Loads a style that a small network has learned: the built-in ones, the "
            "public files of PyTorch's fast_neural_style examples, or your own from Train Fast "
            "Style.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=[*built_in_styles(), *registry.options(KIND, folder_paths)],
                    tooltip="A built-in style, or a file in models/visage_fast_styles.",
                )
            ],
            outputs=[
                FastStyleSocket.Output(
                    "fast_style", display_name="fast style", tooltip="For Fast Style."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        return file is None or passes(_file, file)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return fingerprint(_file(file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(load_fast_style(_file(file)))


class VisageFastStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFastStyle",
            display_name="Fast Style",
            **menu("Style", "fast neural style", "stylize", "video style"),
            description="Paints pictures and clips by a network that knows one style: a pass for "
            "each picture, at any size, without seams and without flicker.",
            inputs=[
                io.Image.Input("image", tooltip="The pictures; a batch is a clip: see batch."),
                FastStyleSocket.Input("fast_style", tooltip="From Load Fast Style."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the picture is painted: 0 leaves it as it is, bit for bit.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(COLOUR_MODES),
                    default=COLOUR_MODES[0],
                    tooltip="as the style: the network's colours. keep the picture's: the result "
                    "is given the mean and spread of the picture's colours. luminance only: only "
                    "the brightness changes.",
                ),
                keep_strength(),
                io.Int.Input(
                    "tile",
                    default=1024,
                    min=64,
                    max=8192,
                    step=64,
                    tooltip="Pictures with a side longer than this many pixels are painted in "
                    "tiles, to limit memory. All tiles use the statistics of the whole picture, "
                    "so there are no seams.",
                ),
                *clip_and_keep(),
            ],
            outputs=[io.Image.Output("image_out", display_name="image", tooltip="The paintings.")],
        )

    @classmethod
    def execute(
        cls, image, fast_style, strength: float, colour: str, keep_strength: float, tile: int,
        batch: str, keep=None,
    ) -> io.NodeOutput:  # fmt: skip
        device = comfy.model_management.get_torch_device()
        painted = paint_fast(
            as_image(image, "image").to(device), fast_style.to(device), strength, colour, keep,
            keep_strength, tile, batch == BATCHES[0], Progress(),
        )  # fmt: skip
        return io.NodeOutput(painted.cpu())


class VisageTrainFastStyle(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        defaults = FastStyleSettings()
        return io.Schema(
            node_id="VisageTrainFastStyle",
            display_name="Train Fast Style",
            **menu("Training", "train style network", "fast neural style", has_panel=True),
            description="Learns the style of one painting as a small network, from pictures of "
            "yours and without any file. Interrupting keeps what is learned so far.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("style", tooltip="The painting to learn."),
                io.Image.Input(
                    "images",
                    tooltip="The pictures to train on: a batch of photographs, the more the "
                    "better.",
                ),
                io.String.Input(
                    "name",
                    default="my_style",
                    tooltip="Name of the file in models/visage_fast_styles; a number is added "
                    "where there is one.",
                ),
                io.Int.Input(
                    "steps",
                    default=defaults.steps,
                    min=1,
                    max=100000,
                    tooltip="Training steps. The style shows after about 1000; 5000 and more "
                    "refine it.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=defaults.batch,
                    min=1,
                    max=64,
                    tooltip="Crops that are painted in one step.",
                ),
                io.Int.Input(
                    "size",
                    default=defaults.size,
                    min=64,
                    max=512,
                    step=32,
                    tooltip="Side of the crops in pixels.",
                ),
                io.Int.Input(
                    "style_size",
                    default=defaults.style_size,
                    min=64,
                    max=2048,
                    step=8,
                    tooltip="Longer side of the painting while it is learned: larger gives "
                    "broader strokes.",
                ),
                io.Float.Input(
                    "content_weight",
                    default=defaults.content_weight,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Weight of the picture's content in the loss, relative to the style.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed of the initial weights, the crops and the noise.",
                ),
                FastStyleSocket.Input(
                    "start",
                    optional=True,
                    tooltip="A fast style to go on from, such as a built-in one: it knows how to "
                    "paint already, which saves steps.",
                ),
            ],
            outputs=[
                FastStyleSocket.Output(
                    "fast_style", display_name="fast style", tooltip="For Fast Style."
                ),
                io.String.Output(
                    "file", display_name="file", tooltip="The file, for Load Fast Style."
                ),
                io.LossMap.Output(
                    "loss", display_name="loss", tooltip="Loss of every step, for Plot Loss Graph."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, style, images, name: str, steps: int, batch_size: int, size: int, style_size: int,
        content_weight: float, seed: int, start=None,
    ) -> io.NodeOutput:  # fmt: skip
        path = registry.new_path(KIND, name, folder_paths)
        settings = FastStyleSettings(steps, batch_size, size, style_size, content_weight, seed)
        progress = LearningProgress(node_id(cls), steps)

        def watch(step: int, loss: float, network) -> bool:
            progress.add(loss, step, steps)
            return ended_by_user()

        painting = split_alpha(as_image(style, "style"))[0][0]
        pictures = list(split_alpha(as_image(images, "images"))[0])
        network, _ = train_fast_style(painting, pictures, settings, watch, start)
        save_fast_style(network, path, name)
        return io.NodeOutput(network, path.name, loss_map(progress.losses), ui=progress.ui())


def _file(name: str) -> Path:
    """The file of a built-in style or of the user's; FileNotFoundError without it."""
    return built_in_styles().get(name) or registry.locate(KIND, name, folder_paths)


NODES: list[type[io.ComfyNode]] = [VisageLoadFastStyle, VisageFastStyle, VisageTrainFastStyle]
