"""Style from a picture through what a diffusion model makes of it."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..techniques.latent_adain import latent_adain
from ..techniques.latent_masks import cell_mask
from ..techniques.shapes import as_mask


class VisageLatentAdaIN(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLatentAdaIN",
            display_name="Latent AdaIN",
            category="Visage",
            description="Gives a latent the colours and contrast of another one: each channel "
            "takes the mean and spread of the style's (adaptive instance normalisation). A quick "
            "colour match before sampling, or after it.",
            inputs=[
                io.Latent.Input("content", tooltip="The latent that changes."),
                io.Latent.Input(
                    "style",
                    tooltip="The latent whose statistics it takes, of any size: one for all, or "
                    "one for each content.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the content goes: 0 leaves it as it is, bit for bit.",
                ),
                io.Mask.Input(
                    "content_mask",
                    optional=True,
                    tooltip="What is measured and changed, at the content picture's size, soft or "
                    "hard; everything when nothing is connected.",
                ),
                io.Mask.Input(
                    "style_mask",
                    optional=True,
                    tooltip="What is measured of the style, at the style picture's size: mask out "
                    "a face to keep its colours away.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The content in the style's colours, for a sampler or VAE Decode.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, content, style, strength: float, content_mask=None, style_mask=None
    ) -> io.NodeOutput:
        samples = latent_adain(
            content["samples"],
            style["samples"],
            strength,
            _cells(content_mask, content["samples"], "content_mask"),
            _cells(style_mask, style["samples"], "style_mask"),
        )
        return io.NodeOutput({**content, "samples": samples})


def _cells(mask: Tensor | None, latent: Tensor, name: str) -> Tensor | None:
    """A mask at the latent's size, [B, 1, h, w]."""
    return None if mask is None else cell_mask(as_mask(mask, name), *latent.shape[-2:], name)


NODES: list[type[io.ComfyNode]] = [VisageLatentAdaIN]
