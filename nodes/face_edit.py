"""Prompt-driven face editing: the fine-tuned weights, the text adapter and the soft mask."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..engines.comfyui import apply_face_edit, attach_inpaint
from ..models import registry
from ..models.face_edit import read_face_edit
from ..techniques.soft_inpaint import inpaint_condition, to_latent_size
from ..techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from .sockets import TextAdapterSocket

# Every Stable Diffusion 1 and 2 VAE; a model with another factor is served when a run starts.
LATENT_SCALE = 0.18215


class VisageLoadFaceEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceEdit",
            display_name="Load Face Edit",
            category="Visage",
            description="Weights fine-tuned on faces with a mask-weighted loss: they replace the "
            "model's cross-attention K and V projections, and bring the face-aware text adapter.",
            inputs=[
                io.Model.Input("model", tooltip="The inpainting model the file was trained on."),
                io.Combo.Input(
                    "file",
                    options=registry.options("face_edit", folder_paths),
                    tooltip="Face-edit weights from the folder models/visage_face_edits, or the "
                    "starter's own. A file fits only the model that it was trained on.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How far the projections move towards the fine-tuned ones: 0 leaves "
                    "the model as it is, 1 is what was trained.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model_out", display_name="model", tooltip="The model with the weights applied."
                ),
                TextAdapterSocket.Output(
                    "adapter",
                    display_name="adapter",
                    tooltip="The text adapter in the file, for Face-Aware Text.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str = registry.BUILT_IN) -> bool | str:
        try:
            registry.locate("face_edit", file, folder_paths)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str, **_) -> str:
        path = registry.locate("face_edit", file, folder_paths)
        return f"{path} {path.stat().st_mtime_ns}"

    @classmethod
    def execute(cls, model, file: str, strength: float) -> io.NodeOutput:
        weights = read_face_edit(registry.locate("face_edit", file, folder_paths))
        adapter = weights.adapter and FaceAwareTextAdapter.from_weights(weights.adapter)
        return io.NodeOutput(apply_face_edit(model, weights, strength), adapter)


class VisageFaceAwareText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageFaceAwareText",
            display_name="Face-Aware Text",
            category="Visage",
            description="Rescales the prompt by how much of the picture is face. For the positive "
            "prompt only.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The positive prompt."),
                io.Mask.Input(
                    "mask",
                    tooltip="The face's mask over the whole picture that is edited. An empty mask "
                    "leaves the prompt as it is.",
                ),
                TextAdapterSocket.Input("adapter", tooltip="From Load Face Edit."),
                io.Float.Input(
                    "strength",
                    default=0.3,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How strongly the adapter acts: 0 leaves the prompt as it is, 0.3 is "
                    "what was trained.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning_out",
                    display_name="conditioning",
                    tooltip="The adapted prompt, one for each mask of a batch.",
                )
            ],
        )

    @classmethod
    def execute(cls, conditioning, mask, adapter, strength: float) -> io.NodeOutput:
        if adapter is None:
            raise ValueError(
                "The face-edit file has no text adapter. Bypass Face-Aware Text, or load a file "
                "that has one."
            )
        adapted = [
            [adapt_text(embedding, mask, adapter, strength), values]
            for embedding, values in conditioning
        ]
        return io.NodeOutput(adapted)


class VisageSoftInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageSoftInpaint",
            display_name="Soft Inpaint",
            category="Visage",
            description="Conditioning and latent for an inpainting model (9 channels), with a mask "
            "that stays soft all the way into the UNet. Any sampler node takes them.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the masked part shall show."),
                io.Conditioning.Input("negative", tooltip="What it shall not show."),
                io.Vae.Input("vae", tooltip="The inpainting model's VAE."),
                io.Image.Input("image", tooltip="The picture to edit, of any size."),
                io.Mask.Input(
                    "mask", tooltip="What to edit: 1 anew, 0 as it is, between by degrees."
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=["soft", "hard"],
                    default="soft",
                    tooltip="soft: the UNet sees the mask's own values. hard: the mask is rounded "
                    "to 0 and 1, as ComfyUI's own inpainting conditioning does.",
                ),
                io.Combo.Input(
                    "noise_mask",
                    options=["soft", "hard", "none"],
                    default="soft",
                    tooltip="Where the sampler may change the latent. soft: in proportion to the "
                    "mask. hard: wherever the mask is above one half. none: everywhere, and only "
                    "the blend afterwards keeps the background.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "positive_out", display_name="positive", tooltip="For the sampler."
                ),
                io.Conditioning.Output(
                    "negative_out", display_name="negative", tooltip="For the sampler."
                ),
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The picture's latent with its noise mask. A picture whose sides are "
                    "no multiples of 8 comes back padded on the right and bottom by up to 7 "
                    "pixels; Pixel Blend crops them.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, positive, negative, vae, image, mask, mask_mode: str, noise_mask: str
    ) -> io.NodeOutput:
        condition = inpaint_condition(image, mask, vae.encode, LATENT_SCALE, mask_mode == "soft")
        latent = {"samples": condition.latent}
        if noise_mask != "none":
            latent["noise_mask"] = to_latent_size(condition.mask, noise_mask == "soft")
        return io.NodeOutput(*attach_inpaint((positive, negative), condition), latent)


NODES: list[type[io.ComfyNode]] = [VisageLoadFaceEdit, VisageFaceAwareText, VisageSoftInpaint]
