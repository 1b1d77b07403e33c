"""Masks joined, grown by an object's size, and drawn from boxes."""

from __future__ import annotations

from comfy_api.latest import io

from ..models.user_input import passes
from ..techniques.grab_cut import grab_cut
from ..techniques.mask_logic import (
    OPERATIONS,
    OUTLINES,
    combine_all,
    grow_by_size,
    outline,
    read_boxes,
)
from .menu import menu
from .notes import note_empty_mask

OBJECT = "object in it"


class VisageCombineMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageCombineMasks",
            display_name="Combine Masks",
            **menu("Masks", "mask math", "union", "subtract", "intersect", "box", "GrabCut"),
            description="Joins masks and boxes (union, minus, intersect), then grows the result by "
            "the size of what it shows. Chain it for more than two masks.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input(
                    "image", tooltip="The picture that the masks are for: it gives the size."
                ),
                io.Combo.Input(
                    "operation",
                    options=list(OPERATIONS),
                    default=next(iter(OPERATIONS)),
                    tooltip="union: mask or other. minus: mask without other. intersect: where "
                    "both are. Boxes count as part of other. Soft values take the larger or the "
                    "smaller one.",
                ),
                io.Float.Input(
                    "grow",
                    default=0.0,
                    min=-100.0,
                    max=400.0,
                    step=0.5,
                    tooltip="How far the result grows in every direction, in percent of the size "
                    "of each connected part (the root of its box's area); negative shrinks it.",
                ),
                io.Combo.Input(
                    "shape",
                    options=[*OUTLINES, OBJECT],
                    default=OUTLINES[0],
                    tooltip="What each connected part of the result becomes: itself, itself with "
                    "its holes filled, the box around it, or the object in it (GrabCut): mark the "
                    "object roughly, with a box for example.",
                ),
                io.String.Input(
                    "box",
                    default="",
                    tooltip="Boxes by hand: x, y, width, height in percent of the picture, such "
                    "as 25, 10, 50, 40; several with ; between them. They are added to other.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The first mask. Without it the result begins with other and the "
                    "boxes.",
                ),
                io.Mask.Input("other", optional=True, tooltip="The second mask."),
                io.BBOX.Input(
                    "boxes",
                    optional=True,
                    tooltip="Boxes, from Face Mask for example. They are added to other.",
                ),
            ],
            outputs=[
                io.Mask.Output("mask_out", display_name="mask", tooltip="The joined mask."),
                io.Float.Output(
                    "area_share",
                    display_name="area share",
                    tooltip="How much of the picture the mask covers, 0 to 1; the mean of a batch.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, box: str = "") -> bool | str:
        return passes(read_boxes, box, 1, 1)

    @classmethod
    def execute(
        cls,
        image,
        operation: str,
        grow: float,
        shape: str,
        box: str,
        mask=None,
        other=None,
        boxes=None,
    ) -> io.NodeOutput:
        height, width = image.shape[1:3]
        by_hand = read_boxes(box, height, width)
        drawn = [each for each in (boxes, [by_hand] if by_hand else None) if each is not None]
        result = combine_all(mask, other, drawn, operation, height, width)
        result = grow_by_size(result, grow)
        result = grab_cut(image, result) if shape == OBJECT else outline(result, shape)
        note_empty_mask(cls, result)
        return io.NodeOutput(result, float(result.mean()))


NODES: list[type[io.ComfyNode]] = [VisageCombineMasks]
