"""What is masked, removed: the hole filled from around it, without a model."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.progress import Progress
from ..techniques.fill_mask import METHODS, fill_mask
from .menu import menu
from .notes import note_empty_mask


class VisageFillMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFillMask",
            display_name="Fill Mask",
            **menu("Masks", "remove object", "inpaint without model", "heal", "content-aware fill"),
            description="Removes what is masked and fills the hole from around it, without a "
            "model. Everything outside the mask stays as it was, bit for bit.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures."),
                io.Mask.Input("mask", tooltip="What is removed; soft values blend it in."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=next(iter(METHODS)),
                    tooltip="patches: textures go on, copied from around the hole. smooth: a soft "
                    "gradient without detail, at once.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="For patches: another seed chooses other patches.",
                ),
                io.Mask.Input(
                    "avoid",
                    optional=True,
                    tooltip="Where no patches may be copied from, such as the people in the "
                    "picture.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out",
                    display_name="image",
                    tooltip="The picture without what was masked.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image, mask, method: str, seed: int, avoid=None) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        return io.NodeOutput(fill_mask(image, mask, method, seed, avoid, Progress()))


NODES: list[type[io.ComfyNode]] = [VisageFillMask]
