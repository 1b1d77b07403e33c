"""The face edited by prompt, every other pixel as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..builder.graph import Workflow
from .parts import (
    BASE_SD15_INPAINTING,
    BASE_SDXL_INPAINTING,
    BASE_STARTER,
    STARTER,
    Base,
    face_masks,
    kept_elsewhere,
    loaded_picture,
    painted_faces,
)

NOTE = """\
Edits the face by prompt; every pixel outside the mask stays as it was, bit for bit.

Change first
· Picture: your photograph, any size, any number of faces.
· Prompt: what the face shall look like.
· Face mask: which parts are edited; look at the overlay.

Then, if you like
· Soft mask: sigma is how gently the edit fades out, grow how far it reaches beyond the face.
· Pixel blend: "lab ring" matches the skin tone at the edge; leave it off where the prompt asks for
another skin colour.

"""
STARTER_NOTE = """\
Model: the starter is tiny, was trained briefly, and paints faces of 192 px. So Pixel blend's "tone"
takes its change of colour and light, and keeps the photograph's own features. Glasses, a smile or a
beard are other shapes: they need "linear", and to look real the workflow face_edit_sd15."""
SD15_NOTE = """\
Model: a Stable Diffusion 1.5 inpainting checkpoint in models/checkpoints.
The two bypassed nodes (purple) are for weights fine-tuned on such a model: choose the file and
enable both with Ctrl-B."""

SDXL_NOTE = """\
Model: an SDXL inpainting checkpoint in models/checkpoints. Any of nine input channels will do; the
crops take its own size. The two bypassed nodes (purple) are for weights fine-tuned on it."""
RECOLOUR_NOTE = """\
Gives hair another colour by prompt. Strands and shine stay those of the photograph, and so does
every pixel outside the hair, bit for bit.

Change first
· Picture: your photograph, any size, any number of people.
· Prompt: the colour.
· Face mask: hair here; skin, brows or lips work as well. Look at the overlay.

Then, if you like
· Pixel blend: "tone" takes the edit's tone only; "detail" is stronger and takes its colours as
they are painted; "colour" keeps the light, too.
· Sampler: less denoise paints a fainter colour.

Model: the starter. Its blurred hair is enough for this, for the detail is the photograph's."""
REAL_PROMPT = "a photorealistic face of an old woman, natural makeup, realistic studio lighting"
DARKER = "a portrait of a woman with dark brown skin"
RED_HAIR = "a portrait of a woman with red hair"
UNWANTED = "blurry, deformed, cartoon"
# In percent of the face. Hair lies against a background that must not take its colour.
FOR_FACES = {"grow": 4}
FOR_HAIR = {"grow": 0, "sigma": 6}
# All of the hair's surroundings are in the crop, so that it gets one colour.
FACE_CONTEXT, HAIR_CONTEXT = 0.8, 1.6


def workflows() -> list[Workflow]:
    """For the starter, and for inpainting checkpoints of Stable Diffusion 1.5 and XL."""
    starter = Workflow("face_edit", NOTE + STARTER_NOTE)
    face_edit(starter, BASE_STARTER, DARKER, "", mode="tone", seed=2)
    recolour = Workflow("recolour_hair", RECOLOUR_NOTE)
    hair = {"seed": 3, "parts": ["hair"]}
    face_edit(recolour, BASE_STARTER, RED_HAIR, "", "tone", FOR_HAIR, HAIR_CONTEXT, **hair)
    made = [starter, recolour]
    for base, note in ((BASE_SD15_INPAINTING, SD15_NOTE), (BASE_SDXL_INPAINTING, SDXL_NOTE)):
        flow = Workflow(f"face_edit{base.suffix}", NOTE + note, needs=base.name)
        face_edit(flow, base, REAL_PROMPT, UNWANTED)
        made.append(flow)
    return made


def face_edit(
    flow: Workflow,
    base: Base,
    prompt: str,
    negative: str,
    mode: str = "linear",
    softness: Mapping[str, float] = FOR_FACES,
    context: float = FACE_CONTEXT,
    seed: int = 0,
    **choice: Any,
) -> None:
    """Fine-tuned weights belong to the starter; for a checkpoint their nodes are bypassed.

    `mode` is Pixel Blend's, `context` Crop Faces', `seed` the sampler's, `softness` are inputs
    of Soft Mask, `choice` of Face Mask.
    """
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        model = base.load(flow, id=8)
    with flow.column("2 · Face mask and prompt"):
        mask, soft, crops = face_masks(flow, picture, parser, model.model, first_id=4, **choice)
        soft.inputs.update(softness)
        crops.inputs["context"] = context
        tuned = flow.add(
            "VisageLoadFaceEdit",
            "Face edit",
            id=9,
            bypass=not base.is_starter,
            model=model.model,
            file=STARTER,
        )
        positive = flow.add("CLIPTextEncode", "Prompt", text=prompt, clip=model.clip)
        unwanted = flow.add("CLIPTextEncode", "Negative prompt", text=negative, clip=model.clip)
    with flow.column("3 · Edit the face"):
        prompts = (positive, unwanted)
        decoded = painted_faces(
            flow, tuned, model, prompts, mask, crops, tuned["adapter"], seed,
            bypass=not base.is_starter,
        )  # fmt: skip
    kept_elsewhere(flow, picture, decoded, crops, soft, flow.name.removesuffix(base.suffix), mode)
