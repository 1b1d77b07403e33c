"""The settings of a face-edit training; the defaults are the paper's.

Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", section 4.1. The help texts name settings that are not in the paper.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.face_classes import expand_parts
from ...models.user_input import require_choice


def _option(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class FaceEditConfig:
    """Settings of one training run; each field's help describes it."""

    size: int = _option(512, "width and height of the training pictures in pixels")
    batch: int = _option(16, "pictures in one step, over all processes")
    micro_batch: int = _option(0, "pictures at once on one device; 0 takes them all at once")
    epochs: int = _option(10, "how often each picture is seen")
    steps: int = _option(0, "steps in all; 0 counts them from the epochs")
    seed: int = _option(42, "seed of the split and of every random draw")
    kv_learning_rate: float = _option(5e-5, "AdamW's rate for the K/V projections")
    adapter_learning_rate: float = _option(1e-4, "AdamW's rate for the text adapter")
    weight_decay: float = _option(1e-2, "AdamW's weight decay (not in the paper)")
    schedule: str = _option(
        "constant", "schedule of the learning rates (not in the paper)", ("constant", "cosine")
    )
    warm_up: int = _option(0, "steps of linear warm-up (not in the paper)")
    gradient_clip: float = _option(1.0, "maximum norm of the gradient (not in the paper)")
    loss: str = _option(
        "mask-weighted", "mask-weighted as in equations 4-5, or plain", ("mask-weighted", "plain")
    )
    alpha: float = _option(0.05, "the background's weight in the loss")
    adapter: bool = _option(True, "train the face-aware text adapter")
    adapter_strength: float = _option(0.3, "lambda, the strength of the adapter")
    flip: float = _option(0.5, "probability that picture and mask are mirrored")
    caption_dropout: float = _option(0.0, "probability of an empty caption (not in the paper)")
    parts: tuple[str, ...] = _option(("face",), "what the mask covers: presets, face classes")
    mask_sigma: float = _option(0.0, "softness of the UNet's mask in pixels; 0 is binary")
    evaluation_share: float = _option(1 / 3, "fraction of the pictures kept for evaluation")
    prediction: str = _option(
        "auto", "what the UNet predicts; auto asks the model", ("auto", "epsilon", "v_prediction")
    )
    precision: str = _option(
        "auto",
        "precision of the computation and of frozen weights; auto is accelerate's",
        ("auto", "fp32", "fp16", "bf16"),
    )
    gradient_checkpointing: bool = _option(False, "recompute activations to save memory")
    save_every: int = _option(500, "steps between checkpoints")
    validate_every: int = _option(500, "steps between validation pictures; 0 draws none")
    validation_images: int = _option(4, "number of pictures that a validation edits")
    validation_steps: int = _option(20, "sampling steps of a validation picture")
    bad_data: str = _option("skip", "what to do about a damaged example", ("skip", "stop"))
    workers: int = _option(0, "number of processes that load batches")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices:
                require_choice(field.name, getattr(self, field.name), choices)
        for name in ("size", "batch", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.size % 8:
            raise ValueError(f"size must be a multiple of 8, the VAE's factor, not {self.size}.")
        if not 0 <= self.evaluation_share < 1:
            raise ValueError(f"evaluation_share must be in [0, 1), not {self.evaluation_share}.")
        expand_parts(self.parts)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dictionary that JSON can hold."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FaceEditConfig:
        """Make settings of names and values; raises ValueError for an unknown name."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(
                f"unknown settings {', '.join(sorted(unknown))}; known are "
                f"{', '.join(sorted(known))}."
            )
        values = dict(values)
        if "parts" in values:
            values["parts"] = tuple(values["parts"])
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """Read and check the settings in a JSON file; raises ValueError for other content."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"The settings {path} cannot be read: {error}.") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} holds {type(values).__name__}, not a JSON object.")
        cls.from_dict(values)
        return values
