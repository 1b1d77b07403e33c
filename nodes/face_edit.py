"""Prompt-driven face editing: the fine-tuned weights, the text adapter and the soft mask."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..diffusion.latent import LATENT_SCALE, to_latent_size
from ..engines.comfyui.face_edit import apply_face_edit
from ..engines.comfyui.graph import masked_parts, prompt_text
from ..engines.comfyui.inpaint_conditioning import attach_inpaint
from ..engines.comfyui.memory import fingerprint
from ..models import registry
from ..models.face_edit import read_face_edit
from ..models.user_input import passes
from ..techniques.crops import cut_masks
from ..techniques.prompt_parts import left_out
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from .face_mask import chosen_parts
from .menu import menu
from .notes import note, note_empty_mask
from .sockets import CropsSocket, TextAdapterSocket


class VisageLoadFaceEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageLoadFaceEdit",
            display_name="Load Face Edit",
            **menu("Models", "face edit weights", "fine-tuned inpainting"),
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
        return passes(registry.locate, "face_edit", file, folder_paths)

    @classmethod
    def fingerprint_inputs(cls, file: str, **_) -> str:
        return fingerprint(registry.locate("face_edit", file, folder_paths))

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
            **menu("Edit", "face prompt", "text adapter"),
            description="Rescales the prompt by how much of the picture is face. For the positive "
            "prompt only.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The positive prompt."),
                io.Mask.Input(
                    "mask",
                    tooltip="The face's mask from Face Mask, neither grown nor blurred, because "
                    "the adapter was trained on the mean of such masks. An empty mask leaves the "
                    "prompt as it is.",
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
                CropsSocket.Input(
                    "crops",
                    optional=True,
                    tooltip="From Crop Faces, when crops are edited. The mask of the whole "
                    "picture is cropped in the same way.",
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
    def execute(cls, conditioning, mask, adapter, strength: float, crops=None) -> io.NodeOutput:
        if adapter is None:
            raise ValueError(
                "The face-edit file has no text adapter. Bypass Face-Aware Text, or load a file "
                "that has one."
            )
        note_empty_mask(cls, mask)
        if crops is not None:
            mask = cut_masks(mask, crops)
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
            **menu(
                "Edit",
                "inpaint",
                "soft inpainting",
                "differential diffusion",
                "inpaint conditioning",
            ),
            description="Conditioning and latent for inpainting, with a mask that stays soft all "
            "the way into the UNet. Made for inpainting models (9 channels); Flux Fill and models "
            "without mask channels work too. Any sampler node takes them.",
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the masked part should show."),
                io.Conditioning.Input("negative", tooltip="What it should not show."),
                io.Vae.Input("vae", tooltip="The inpainting model's VAE."),
                io.Image.Input("image", tooltip="The picture to edit, of any size."),
                io.Mask.Input(
                    "mask",
                    tooltip="What to edit: 1 is repainted, 0 is kept, and values between "
                    "are blended.",
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
                    "not multiples of 8 comes back padded on the right and bottom by up to 7 "
                    "pixels; Pixel Blend crops them.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, positive, negative, vae, image, mask, mask_mode: str, noise_mask: str
    ) -> io.NodeOutput:
        note_empty_mask(cls, mask)
        _note_words(cls)
        condition = inpaint_condition(image, mask, vae.encode, LATENT_SCALE, mask_mode == "soft")
        latent = {"samples": condition.latent}
        if noise_mask != "none":
            latent["noise_mask"] = to_latent_size(condition.mask, noise_mask == "soft")
        return io.NodeOutput(*attach_inpaint((positive, negative), condition), latent)


def _note_words(node: type[io.ComfyNode]) -> None:
    """Say so where the prompt names hair, a hat and the like and the mask leaves that out."""
    graph = node.hidden and node.hidden.prompt
    if not graph:
        return
    parts = masked_parts(graph, node.hidden.unique_id, "mask")
    if parts is None:
        return
    said = left_out(prompt_text(graph, node.hidden.unique_id, "positive"), chosen_parts(parts))
    if said:
        note(node, said)


NODES: list[type[io.ComfyNode]] = [VisageLoadFaceEdit, VisageFaceAwareText, VisageSoftInpaint]
