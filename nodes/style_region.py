"""Style Region: a style's model and prompts, and where they go."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.diffstyler import Region
from ..techniques.region_overlay import COLOURS
from .menu import menu
from .notes import note_empty_mask
from .sockets import RegionsSocket


class _ColourInput(io.Combo.Input):
    """Tells the swatches on the canvas (web/region_colours.js) what the names look like."""

    def as_dict(self) -> dict:
        return super().as_dict() | {"colours": COLOURS}


class VisageStyleRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageStyleRegion",
            display_name="Style Region",
            **menu("Style", "regional style", "regional prompt", "style mask"),
            description="One style and where it goes. Chain one node for each style; where regions "
            "overlap, the later one wins.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The base model with the style's LoRA, from a LoRA loader.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="What the region shows, in the words that its LoRA was trained with.",
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What to stay away from; the paper's is 'ugly, blurry, black, low res, "
                    "unrealistic'.",
                ),
                io.String.Input(
                    "name", default="style", tooltip="What the overlay and the report call it."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How strongly the style replaces the region's content: 0 leaves it as "
                    "it is.",
                ),
                io.Float.Input(
                    "feature_steps",
                    default=0.6,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Fraction of the run, from its start, in which the content's layout "
                    "is injected. Higher values keep more of the content.",
                ),
                io.Float.Input(
                    "attention_steps",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Fraction of the run, from its start, in which the content's queries "
                    "and keys are injected. Higher values keep more of the content.",
                ),
                _ColourInput(
                    "colour",
                    options=["auto", *COLOURS],
                    default="auto",
                    tooltip="The region's colour in the overlay.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the style goes, soft or hard, at the picture's size; the whole "
                    "picture when nothing is connected.",
                ),
                RegionsSocket.Input(
                    "regions", optional=True, tooltip="The regions before this one."
                ),
            ],
            outputs=[
                RegionsSocket.Output(
                    "regions_out",
                    display_name="regions",
                    tooltip="These regions and this one, for DiffStyler or the next Style Region.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, negative, name: str, strength: float, feature_steps: float,
        attention_steps: float, colour: str, mask=None, regions=(),
    ) -> io.NodeOutput:  # fmt: skip
        note_empty_mask(cls, mask)
        colour = list(COLOURS)[len(regions) % len(COLOURS)] if colour == "auto" else colour
        region = Region(
            model, positive, negative, mask, name, strength, colour, feature_steps, attention_steps
        )
        return io.NodeOutput((*regions, region))


NODES: list[type[io.ComfyNode]] = [VisageStyleRegion]
