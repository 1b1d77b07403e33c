"""A face editor fine-tuned from pictures."""

from __future__ import annotations

from ..builder.graph import Workflow
from .parts import BASE_STARTER, loss_curve

NOTE = """\
Fine-tunes the face editor: the model's cross-attention K and V projections and the text
adapter, with a loss that counts the face fully and the background hardly.

Change first
· Train: dataset is a folder in ComfyUI's input folder: CelebAMask-HQ as published, or pictures
with a .txt caption and maybe a .mask.png each.
· Train: name of the result; Load Face Edit lists it afterwards.

For SD 1.5
· Put a checkpoint loader with an inpainting model in the place of Model.
· size 512, batch 16, steps 12500, learning rates 5e-5 and 1e-4: the paper's values.
gradient_checkpointing and a micro_batch save memory.

Interrupt at will: running it again goes on from the last step. Checkpoints, curve and
validation pictures lie in the output folder under visage_training. Prompt and picture follow in
the workflow face_edit."""


def workflows() -> list[Workflow]:
    """A minute's training of the starter; the note says what a real checkpoint needs."""
    flow = Workflow("train_face_edit", NOTE)
    with flow.column("1 · Inputs"):
        model = BASE_STARTER.load(flow)
    with flow.column("2 · Train"):
        train = flow.add(
            "VisageTrainFaceEdit",
            "Train",
            model=model.model,
            clip=model.clip,
            vae=model.vae,
            dataset="drawn faces (built in)",
            steps=60,
            batch=4,
            size=0,
            kv_learning_rate=0.0002,
            adapter_learning_rate=0.0004,
            save_every=20,
            validate_every=0,
        )
    with flow.column("3 · Look"):
        loss_curve(flow, train["loss"])
        flow.add("PreviewAny", "File", source=train["file"])
    return [flow]
