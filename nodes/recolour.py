"""What is masked in another colour, without a model."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.progress import Progress
from ..techniques.pixel_blend import prove
from ..techniques.recolour import parse_colour, recolour
from .compare import comparison_with_proof, proof_output
from .menu import menu
from .notes import note_empty_mask


class VisageRecolour(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageRecolour",
            display_name="Recolour",
            **menu(
                "Edit",
                "hair colour",
                "hair dye",
                "lipstick",
                "tint",
                "color",
                "change colour",
                has_panel=True,
            ),
            description="Gives what is masked another colour and keeps every contrast in it: "
            "strands of hair, folds of cloth, pores. Without a model; where the mask is 0 the "
            "picture stays as it is, bit for bit.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures."),
                io.Mask.Input(
                    "mask",
                    tooltip="What gets the colour, such as the hair from Face Mask or Prompt "
                    "Mask. A soft one may reach a few pixels over the edges: the change ends at "
                    "them.",
                ),
                io.String.Input(
                    "colour",
                    default="#7a3a22",
                    tooltip="The mean colour of the part afterwards: six hexadecimal digits, or a "
                    "name such as teal.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the colour changes: 0 leaves the picture as it is.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="image", tooltip="The recoloured picture."
                ),
                proof_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, colour: str | None = None) -> bool | str:
        try:
            if colour is not None:  # from another node it comes later
                parse_colour(colour)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, image, mask, colour: str, strength: float) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        result = recolour(image, mask, colour, strength, Progress())
        proof = prove(result, image, mask)
        return io.NodeOutput(result, proof.text(), ui=comparison_with_proof(image, result, proof))


NODES: list[type[io.ComfyNode]] = [VisageRecolour]
