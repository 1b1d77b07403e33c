"""The settings of a style adapter's training, apart so that the command line needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field


def _option(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class StyleAdapterSettings:
    """The settings, described by each field's help; rates and probabilities are the paper's."""

    steps: int = _option(10_000, "steps in all")
    batch: int = _option(8, "pictures in one step")
    learning_rate: float = _option(1e-4, "AdamW's peak rate; it falls along a cosine")
    weight_decay: float = _option(1e-2, "AdamW's weight decay")
    size: int = _option(0, "width and height of the pictures in pixels; 0 is the model's own")
    tokens: int = _option(4, "number of image tokens for a picture")
    token_width: int = _option(0, "width of the image tokens; 0 is the text's, as in public files")
    text_drop: float = _option(0.05, "probability that the caption is dropped")
    image_drop: float = _option(0.05, "probability that the picture is dropped")
    both_drop: float = _option(0.05, "probability that both are dropped")
    average: float = _option(0.999, "decay of the averaged weights that are saved")
    seed: int = _option(0, "seed of every random draw")
