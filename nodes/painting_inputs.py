"""Inputs that the nodes which paint have in common."""

from __future__ import annotations

from comfy_api.latest import io

BATCHES = ("clip", "pictures")


def clip_and_keep() -> list[io.Input]:
    """How frames belong together, for methods that follow statistics, and what is kept."""
    return [
        io.Combo.Input(
            "batch",
            options=list(BATCHES),
            default=BATCHES[0],
            tooltip="clip: statistics follow the frames slowly, so nothing flickers. "
            "pictures: each for itself.",
        ),
        io.Mask.Input(
            "keep",
            optional=True,
            tooltip="A mask of the person, such as a soft mask from Face Mask.",
        ),
    ]


def keep_strength() -> io.Input:
    """How much of the picture is kept, for methods that mix it with the painting."""
    return io.Float.Input(
        "keep_strength",
        default=0.5,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip="How much of the picture stays under the keep mask.",
    )


def regions_and_more_styles() -> list[io.Input]:
    """Where the first style goes, two styles more with their regions, and how they mix."""
    return [
        io.Mask.Input(
            "region",
            optional=True,
            tooltip="Where the style is painted. A style without a region gets what the "
            "other regions leave, and what no region covers stays as it is.",
        ),
        io.Image.Input("style_2", optional=True, tooltip="A second painting."),
        io.Mask.Input(
            "region_2",
            optional=True,
            tooltip="Where style 2 is painted. Without any region the styles are mixed.",
        ),
        io.Image.Input("style_3", optional=True, tooltip="A third painting."),
        io.Mask.Input("region_3", optional=True, tooltip="Where style 3 is painted."),
        io.String.Input(
            "mix",
            default="1, 1, 1",
            optional=True,
            tooltip="Weights of style, style 2 and style 3 where they share a region.",
        ),
    ]
