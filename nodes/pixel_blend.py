"""The blend in pixels, which leaves the background as it is and proves it."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.progress import Progress
from ..techniques.pixel_blend import BLENDS, blend, prove
from .compare import comparison_with_proof, proof_output
from .menu import menu
from .notes import note_empty_mask

# What the canvas shows, and what the technique calls it.
TONE_MATCHES = {"off": "off", "lab ring": "lab"}


class VisagePixelBlend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisagePixelBlend",
            display_name="Pixel Blend",
            **menu(
                "Edit",
                "blend",
                "composite",
                "poisson",
                "seamless clone",
                "skin tone",
                "keep background",
                essential=True,
                has_panel=True,
            ),
            description="Blends the edited picture into the original by a soft mask. Where the "
            "mask is 0 the result is the original, bit for bit, and the proof says so.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input(
                    "edited",
                    tooltip="The edited picture, of the original's size; padding of up to 7 "
                    "pixels at its right and bottom is cut off. The modes colour, detail "
                    "and tone take a smaller or larger one of the same aspect ratio, too.",
                ),
                io.Image.Input(
                    "original", tooltip="The picture whose background shall stay as it is."
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="How much of the edit each pixel gets, from 0 to 1. One of a single "
                    "value, such as Solid Mask's, may have any size.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(BLENDS),
                    default="linear",
                    tooltip="linear: mixes by the mask. laplacian: tones over a wide band, detail "
                    "over a narrow one. poisson: the edit's detail on the original's colours, "
                    "for edits whose light does not fit. colour: the edit's hues, the original's "
                    "lightness. detail: the edit's colours and light with the original's fine "
                    "detail; for hair, skin and clothes that get another colour. tone: shifts "
                    "the colours of a whole part and keeps all contrasts in it; gentler than "
                    "detail, for a face, hair or clothes, one part at a time.",
                ),
                io.Combo.Input(
                    "tone_match",
                    options=list(TONE_MATCHES),
                    default="off",
                    tooltip="lab ring: gives the edit the original's light and skin tone first, "
                    "measured where the mask is between 0 and 1. Needs a soft mask; leave it off "
                    "where the prompt asks for another colour.",
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The blended picture."),
                proof_output(),
                io.String.Output(
                    "report", display_name="report", tooltip="The same figures as JSON."
                ),
            ],
        )

    @classmethod
    def execute(cls, edited, original, mask, mode: str, tone_match: str) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        blended = blend(edited, original, mask, mode, TONE_MATCHES[tone_match], Progress())
        proof = prove(blended, original, mask)
        shown = comparison_with_proof(original, blended, proof)
        return io.NodeOutput(blended, proof.text(), proof.json(), ui=shown)


NODES: list[type[io.ComfyNode]] = [VisagePixelBlend]
