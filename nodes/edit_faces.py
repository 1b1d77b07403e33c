"""The main job in one node. It expands to the pack's own nodes and ComfyUI's sampler."""

from __future__ import annotations

import comfy.samplers
import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder

from ..engines.comfyui.edit_faces import edit_faces_graph
from ..models import registry
from ..models.face_classes import CHOICES
from ..models.user_input import passes
from ..techniques.face_prompts import read_face_prompts
from ..techniques.pixel_blend import BLENDS
from ..techniques.prompt_parts import left_out
from .menu import menu
from .notes import note
from .pixel_blend import TONE_MATCHES
from .sockets import FaceParserSocket

# The node hands its inputs on to others, so it needs the links and not what comes through them.
LINK = {"rawLink": True}


class VisageEditFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VisageEditFaces",
            display_name="Edit Faces",
            **menu(
                "Edit",
                "face edit",
                "face inpaint",
                "change expression",
                "face detailer",
                "retouch",
                essential=True,
            ),
            description="Edits the faces of a photograph by prompt and leaves every other pixel "
            "untouched: Face Mask, Soft Mask, Crop Faces, Load Face Edit, Soft Inpaint, KSampler, "
            "Paste Faces and Pixel Blend in one node.",
            enable_expand=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input(
                    "model", tooltip="An inpainting model, such as the starter.", extra_dict=LINK
                ),
                io.Clip.Input("clip", tooltip="The model's text encoder.", extra_dict=LINK),
                io.Vae.Input("vae", tooltip="The model's VAE.", extra_dict=LINK),
                io.Image.Input(
                    "image", tooltip="The photograph, of any size, or a batch.", extra_dict=LINK
                ),
                FaceParserSocket.Input("parser", tooltip="From Load Face Parser.", extra_dict=LINK),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="a portrait of a person, smiling",
                    tooltip="What the faces should show. One prompt for all faces, or one for "
                    "each by its number from left to right: `0: with a beard | 2: smiling`. Faces "
                    "without a number stay as they are.",
                ),
                io.String.Input(
                    "negative",
                    multiline=True,
                    default="",
                    tooltip="What the faces should not show.",
                ),
                io.Combo.Input(
                    "parts",
                    options=list(CHOICES),
                    default="face",
                    tooltip="The part that is edited. A prompt that names hair needs `hair` or "
                    "`face and hair`.",
                ),
                io.Float.Input(
                    "sigma",
                    default=8.0,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    tooltip="Softness of the mask's edge in percent of each face's size.",
                ),
                io.Int.Input(
                    "grow",
                    default=4,
                    min=-512,
                    max=512,
                    tooltip="How far the mask grows before it is softened, in percent of each "
                    "face's size.",
                ),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Side of the square in which each face is painted. 0: the model's own.",
                ),
                io.Float.Input(
                    "context",
                    default=0.8,
                    min=0.0,
                    max=8.0,
                    step=0.05,
                    tooltip="How much of its surroundings the model sees around a face, as a "
                    "fraction of the face.",
                ),
                io.Combo.Input(
                    "face_edit",
                    options=[registry.NO_FILE, *registry.options("face_edit", folder_paths)],
                    default=registry.BUILT_IN,
                    tooltip="Weights fine-tuned on faces for this model. With none the model uses "
                    "its own weights.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed of the sampler's noise.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=10000, tooltip="Steps of the sampler."
                ),
                io.Float.Input(
                    "cfg",
                    default=5.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Classifier-free guidance: higher values follow the prompt more "
                    "closely.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.KSampler.SAMPLERS,
                    default="euler",
                    tooltip="ComfyUI's sampler.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    default="normal",
                    tooltip="ComfyUI's schedule of noise.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Denoising strength: 1 repaints the masked part from noise, 0 changes "
                    "nothing. Lower values keep more of the face's own features.",
                ),
                io.Combo.Input(
                    "blend",
                    options=list(BLENDS),
                    default="linear",
                    tooltip="How the edit is blended into the picture; see Pixel Blend.",
                ),
                io.Combo.Input(
                    "tone_match",
                    options=list(TONE_MATCHES),
                    default="off",
                    tooltip="lab ring gives the edit the original's light and skin tone first; see "
                    "Pixel Blend.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image_out", display_name="image", tooltip="The edited photograph."
                ),
                io.Mask.Output(
                    "mask_out", display_name="mask", tooltip="How much of the edit each pixel got."
                ),
                io.String.Output(
                    "proof",
                    display_name="proof",
                    tooltip="The largest change of a pixel outside the mask. It must be 0.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, prompt: str = "") -> bool | str:
        return passes(read_face_prompts, prompt)

    @classmethod
    def execute(cls, **inputs) -> io.NodeOutput:
        for text in read_face_prompts(inputs["prompt"]).values():
            said = left_out(text, [inputs["parts"]])
            if said:
                note(cls, said.replace("Face Mask", "this node"))
        graph = GraphBuilder()
        return io.NodeOutput(*edit_faces_graph(graph, **inputs), expand=graph.finalize())


NODES: list[type[io.ComfyNode]] = [VisageEditFaces]
