"""The built-in models."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.clip_vision import load_image_encoder
from ..engines.comfyui.starter import load_starter
from ..models.starter_files import FILES, STARTER
from .menu import menu


class VisageLoadStarter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadStarter",
            display_name="Load Starter Models",
            **menu("Models", "starter", "built-in model", "visage checkpoint"),
            description="The small models that come with Visage: they run at once, offline, on a "
            "CPU. They know only faces, drawn ones and those of generated photographs, at 192 x "
            "192 pixels. Put your own checkpoint loader in this node's place for real work.",
            inputs=[],
            outputs=[
                io.Model.Output(
                    "model",
                    display_name="model",
                    tooltip="Inpainting UNet with 9 input channels, built like SD 1.5.",
                ),
                io.Clip.Output(
                    "clip",
                    display_name="clip",
                    tooltip="CLIP-style text encoder with the starter's own small vocabulary.",
                ),
                io.Vae.Output(
                    "vae",
                    display_name="vae",
                    tooltip="Autoencoder with 4 latent channels and 8 pixels to a latent cell.",
                ),
                io.ClipVision.Output(
                    "clip_vision",
                    display_name="clip_vision",
                    tooltip="CLIP image encoder at 128 x 128 pixels that tells painting styles "
                    "apart. Only adapters trained with it fit: its embedding has 96 numbers.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls) -> str:
        paths = (STARTER / file for file in FILES.values())
        return " ".join(str(path.stat().st_mtime_ns) for path in paths if path.is_file())

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_starter(), load_image_encoder())


NODES: list[type[io.ComfyNode]] = [VisageLoadStarter]
