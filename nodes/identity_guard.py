"""The identity guard, on whatever paints with the model."""

from __future__ import annotations

from comfy_api.latest import io

from ..engines.comfyui.branches import into_model
from ..engines.comfyui.guard import apply_identity_guard
from ..techniques.identity_guard import IdentityGuard
from ..techniques.latent_masks import cell_mask
from ..techniques.shapes import as_mask
from .menu import menu
from .notes import note_empty_mask


class VisageIdentityGuard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageIdentityGuard",
            display_name="Identity Guard",
            **menu(
                "Identity", "keep face", "preserve identity", "face consistency", essential=True
            ),
            description="Keeps the person while a picture takes a style: in faces the model looks "
            "at the original as well. Guards Style Transfer, DiffStyler, and KSampler from image "
            "to image. Costs one more pass of the model for each step of a KSampler.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model that paints, behind LoRA loaders and adapters."
                ),
                io.Latent.Input(
                    "content",
                    tooltip="The original picture, from VAE Encode, at the size that is painted: "
                    "for a mosaic the one that was not restored.",
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="The faces to keep, soft or hard, at the picture's size: from Face "
                    "Mask or Mosaic Compose.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 leaves the model as it is, bit for bit; 1 holds faces to the "
                    "original, and takes less style there.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Fraction of the noise schedule at which it starts to act; 0 is all "
                    "noise.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Fraction of the noise schedule at which it stops. 0.8 leaves the last "
                    "texture to the style.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model_out",
                    display_name="model",
                    tooltip="The guarded model, for Style Transfer, DiffStyler or KSampler.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, model, content, mask, strength: float, start_percent: float, end_percent: float
    ) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        latent = content["samples"]
        guard = IdentityGuard(
            into_model(model, latent),
            cell_mask(as_mask(mask), *latent.shape[-2:]),
            strength,
            start_percent,
            end_percent,
        )
        return io.NodeOutput(apply_identity_guard(model, guard))


NODES: list[type[io.ComfyNode]] = [VisageIdentityGuard]
