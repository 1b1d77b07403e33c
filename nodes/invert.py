"""Invert: the noise from which a model paints this very picture."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.diffstyler import invert_image
from .menu import menu
from .sockets import TrajectorySocket


class VisageInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageInvert",
            display_name="Invert",
            **menu("Style", "DDIM inversion", "unsampler", "invert image"),
            description="Finds the noise from which the model paints this very picture (DDIM "
            "inversion with an empty prompt), for DiffStyler. One inversion serves any number of "
            "styles.",
            inputs=[
                io.Model.Input("model", tooltip="The base model, without any style's LoRA."),
                io.Clip.Input("clip", tooltip="Its text encoder, for the empty prompt."),
                io.Vae.Input("vae", tooltip="Its VAE."),
                io.Image.Input("image", tooltip="The picture to restyle, of any size."),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=500,
                    tooltip="Steps that DiffStyler will take. 50 is the paper's.",
                ),
                io.Int.Input(
                    "inversion_steps",
                    default=999,
                    min=10,
                    max=999,
                    tooltip="How finely the way to the noise is followed: at least so many steps "
                    "for the whole schedule, rounded up so that every step of the sampling is "
                    "among them. 999 takes every timestep; 100 is quick and often enough.",
                ),
                io.Boolean.Input(
                    "check",
                    default=True,
                    tooltip="Sample the picture back and measure how well that works. Takes the "
                    "time of sampling without guidance.",
                ),
            ],
            outputs=[
                TrajectorySocket.Output(
                    "trajectory", display_name="trajectory", tooltip="For DiffStyler."
                ),
                io.Image.Output(
                    "reconstruction",
                    display_name="reconstruction",
                    tooltip="The picture sampled back; the picture through the VAE alone when "
                    "check is off.",
                ),
                io.Float.Output(
                    "psnr",
                    display_name="psnr",
                    tooltip="Likeness of the reconstruction to the picture through the VAE alone, "
                    "in dB: above 25 is good. 0 when check is off.",
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="The same in words, with a warning."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, clip, vae, image, steps: int, inversion_steps: int, check: bool
    ) -> io.NodeOutput:
        return io.NodeOutput(*invert_image(model, clip, vae, image, steps, inversion_steps, check))


NODES: list[type[io.ComfyNode]] = [VisageInvert]
