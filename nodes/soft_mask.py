"""Soft masks."""

from __future__ import annotations

from comfy_api.latest import io

from ..techniques.soft_mask import soften, soften_faces
from .menu import menu
from .notes import note_empty_mask

# The first is what workflows saved without the choice mean.
UNITS = ["pixels", "percent of face"]


class VisageSoftMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSoftMask",
            display_name="Soft Mask",
            **menu("Masks", "feather mask", "blur mask", "grow mask", "expand mask"),
            description="Grows or shrinks a mask, then blurs it. The soft mask says what is "
            "edited and how the edit is blended into the picture.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Mask.Input("mask", tooltip="One mask, or one for each picture of a batch."),
                io.Float.Input(
                    "sigma",
                    default=8.0,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    tooltip="Standard deviation of the Gaussian, in the unit below: the mask fades "
                    "over about twice that to each side and is exactly 0 from four times that on. "
                    "0 does not blur.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-512,
                    max=512,
                    tooltip="How far the mask grows in every direction before it is blurred, in "
                    "the unit below; negative shrinks it.",
                ),
                io.Combo.Input(
                    "unit",
                    options=UNITS,
                    default=UNITS[0],
                    optional=True,
                    tooltip="What sigma and grow are measured in. percent of face: 8 is 8 % of "
                    "each face's own size, so pictures and faces of any size get the same look. "
                    "pixels: pixels of this mask.",
                ),
                io.BBOX.Input(
                    "boxes",
                    optional=True,
                    tooltip="For percent of face: one box for each face, from Face Mask. Without "
                    "it each connected part of the mask counts as a face.",
                ),
            ],
            outputs=[io.Mask.Output("mask_out", display_name="mask", tooltip="The soft mask.")],
        )

    @classmethod
    def execute(
        cls, mask, sigma: float, grow: int, unit: str = UNITS[0], boxes=None
    ) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        if unit == UNITS[0]:
            return io.NodeOutput(soften(mask, sigma, grow))
        return io.NodeOutput(soften_faces(mask, sigma, grow, boxes))


NODES: list[type[io.ComfyNode]] = [VisageSoftMask]
