"""Soft masks."""

from __future__ import annotations

from comfy_api.latest import io

from ..techniques.soft_mask import soften


class VisageSoftMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSoftMask",
            display_name="Soft Mask",
            category="Visage",
            description="Grows or shrinks a mask, then blurs it: the soft mask is what is edited "
            "and how the edit is blended into the picture.",
            inputs=[
                io.Mask.Input("mask", tooltip="One mask, or one for each picture of a batch."),
                io.Float.Input(
                    "sigma",
                    default=8.0,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    tooltip="Standard deviation of the Gaussian in pixels: the mask fades over "
                    "about twice that to each side and is exactly 0 from four times that on. 0 "
                    "does not blur.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-512,
                    max=512,
                    tooltip="Pixels by which the mask grows in every direction before it is "
                    "blurred; negative shrinks it.",
                ),
            ],
            outputs=[io.Mask.Output("mask_out", display_name="mask", tooltip="The soft mask.")],
        )

    @classmethod
    def execute(cls, mask, sigma: float, grow: int) -> io.NodeOutput:
        return io.NodeOutput(soften(mask, sigma, grow))


NODES: list[type[io.ComfyNode]] = [VisageSoftMask]
