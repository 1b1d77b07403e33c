"""Two pictures of the same thing, shown over each other with a slider."""

from __future__ import annotations

from comfy.utils import common_upscale
from comfy_api.latest import io, ui
from torch import Tensor

from ..techniques.pixel_blend import BlendProof
from ..techniques.shapes import as_image, match_batch
from .menu import menu

# Long side in pixels of the pictures that a node shows of its own work.
SHOWN = 1024


class VisageCompare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageCompare",
            display_name="Compare",
            **menu("Edit", "image comparer", "before after", "slider", "compare images"),
            description="Shows two pictures over each other with a slider between them: drag it to "
            "see one or the other. Batches are shown pair by pair.",
            is_output_node=True,
            inputs=[
                io.Image.Input(
                    "before", tooltip="The picture on the left of the slider, or a batch."
                ),
                io.Image.Input(
                    "after",
                    tooltip="The picture on the right of the slider: as many as before, or one "
                    "for all. A picture of another size is shown at the size of the first.",
                ),
                io.String.Input(
                    "before_label",
                    default="before",
                    tooltip="What the picture on the left is called.",
                ),
                io.String.Input(
                    "after_label",
                    default="after",
                    tooltip="What the picture on the right is called.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, before, after, before_label: str, after_label: str) -> io.NodeOutput:
        before, after = as_image(before, "before"), as_image(after, "after")
        match_batch(before, after, "before", "after")
        return io.NodeOutput(ui=comparison(before, after, before_label, after_label))


def comparison(before, after, before_label: str, after_label: str) -> dict:
    """What the slider on the canvas (web/compare.js) reads: two lists of pictures and their names.

    The keys are those of ComfyUI's own comparing nodes.
    """
    return {
        "a_images": _previews(before),
        "b_images": _previews(after),
        "labels": [before_label, after_label],
    }


def proof_output() -> io.String.Output:
    """The socket of a proof in words."""
    return io.String.Output(
        "proof",
        display_name="proof",
        tooltip="In words, for each picture: the largest change outside the mask (must be none) "
        "and the mean colour shift at the mask's edge.",
    )


def comparison_with_proof(original: Tensor, result: Tensor, proof: BlendProof) -> dict:
    """The same of a node's own work, made small, with a line of proof below each pair."""
    shown = comparison(_small(original), _small(result), "original", "result")
    shown["text"] = [proof.text()]
    shown["untouched"] = [picture.outside_max_abs_diff == 0 for picture in proof.pictures]
    return shown


def _small(images: Tensor) -> Tensor:
    """Pictures [B, H, W, C] for the eye: saving large ones would take longer than blending."""
    images = as_image(images)
    height, width = images.shape[1:3]
    scale = SHOWN / max(height, width)
    if scale >= 1:
        return images
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return common_upscale(images.movedim(-1, 1), *size, "area", "disabled").movedim(1, -1)


def _previews(images) -> list[dict]:
    return ui.ImageSaveHelper.save_images(
        images, "visage_compare", io.FolderType.temp, None, compress_level=1
    )


NODES: list[type[io.ComfyNode]] = [VisageCompare]
