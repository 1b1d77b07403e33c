"""A style LoRA learned from one picture on the canvas."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.branches import into_model
from ..engines.comfyui.gradients import PRECISIONS
from ..engines.comfyui.lora import trainable_lora
from ..engines.comfyui.native_size import chosen_size
from ..engines.comfyui.progress import LearningProgress, loss_map, stop_if_interrupted
from ..training.style_lora import (
    StyleLoraSettings,
    style_latents,
    train_style_lora,
    window_shape,
)
from .menu import menu
from .notes import node_id

# The latent scale of the model is applied by ComfyUI's own latent format.
UNSCALED = 1.0


class VisageTrainStyleLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageTrainStyleLora",
            display_name="Train Style LoRA",
            **menu("Training", "LoRA training", "learn style", "fine-tune", has_panel=True),
            description="Learns the style of one picture as a LoRA for this model: the first step "
            "of DiffStyler. Load LoRA Model applies the result on the canvas, and Save LoRA "
            "Weights keeps it for any LoRA loader.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model that will paint in this style."),
                io.Clip.Input("clip", tooltip="The model's text encoder; it is not trained."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.Image.Input(
                    "image",
                    tooltip="One picture in the style to learn, or a batch of pictures in one "
                    "style.",
                ),
                io.String.Input(
                    "prompt",
                    default="painting of <sss>",
                    multiline=True,
                    tooltip="What the picture shows, with <sss> as the name of its style: "
                    "'painting of <sss>, deer, grass'. Use the same name when you paint with it.",
                ),
                io.Int.Input(
                    "rank",
                    default=16,
                    min=1,
                    max=128,
                    tooltip="Rank of the LoRA: 4 learns colours, 16 brush strokes too, 32 still "
                    "more.",
                ),
                io.Int.Input(
                    "steps", default=200, min=1, max=10000, tooltip="How long it is trained."
                ),
                io.Float.Input(
                    "learning_rate",
                    default=2e-4,
                    min=1e-7,
                    max=1.0,
                    step=1e-5,
                    round=False,
                    tooltip="AdamW's learning rate. Lower it when the loss rises; the starter's "
                    "narrow layers need 0.001.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=0,
                    max=2048,
                    step=8,
                    tooltip="Short side in pixels at which the picture is learned. 0: the model's "
                    "own size, such as 512 for SD 1.5.",
                ),
                io.Boolean.Input(
                    "crops",
                    default=False,
                    tooltip="Learn another square window of the picture at every step. For "
                    "pictures that are much longer than high, or higher than long.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Precision of the frozen model; the LoRA itself is always fp32. auto: "
                    "bf16 on graphics cards that have it, else fp32.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Seed of the LoRA's initial weights and of the noise.",
                ),
            ],
            outputs=[
                io.LoraModel.Output(
                    "lora",
                    display_name="lora",
                    tooltip="The LoRA, for Load LoRA Model and Save LoRA Weights.",
                ),
                io.LossMap.Output(
                    "loss", display_name="loss", tooltip="Loss of every step, for Plot Loss Graph."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, clip, vae, image, prompt: str, rank: int, steps: int, learning_rate: float,
        size: int, crops: bool, precision: str, seed: int,
    ) -> io.NodeOutput:  # fmt: skip
        size = chosen_size(size, model)
        settings = StyleLoraSettings(prompt, rank, steps, learning_rate, size, crops, seed)
        latents = into_model(model, style_latents(image, vae.encode, UNSCALED, size))
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
        shape = window_shape(latents, crops)
        trainable = trainable_lora(model, conditioning, shape, rank, seed, precision)
        progress = LearningProgress(node_id(cls), steps)

        def watch(step: int, loss: float) -> None:
            progress.add(loss, step + 1, steps)
            stop_if_interrupted()

        lora, losses = train_style_lora(latents, trainable, settings, watch)
        return io.NodeOutput(lora.tensors(), loss_map(losses), ui=progress.ui())


NODES: list[type[io.ComfyNode]] = [VisageTrainStyleLora]
