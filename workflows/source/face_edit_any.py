"""The face edited by models that no one made for inpainting: any checkpoint, Flux Fill's own
packing, and models that edit by instruction. The shell is the same: crop, edit, paste, blend.
"""

from __future__ import annotations

from ..builder.graph import Node, Workflow
from .parts import BASE_SD15, STARTER, Loaded, face_masks, kept_elsewhere, loaded_picture, sampled

START = """\
Edits the face by prompt; every pixel outside the mask stays as it was, bit for bit.

Change first
· Picture: your photograph, any size, any number of faces.
· Prompt: what the face shall look like.
· Face mask: which parts are edited; look at the overlay.

"""
PLAIN = """\
Model: any checkpoint, SD 1.5, SDXL or one of their descendants; the crops take its own size. It was
not made for inpainting: Differential Diffusion lets the mask decide how much each place may change.

Then, if you like
· Sampler: denoise is how far the face may change, 0.5 to 0.8.
· Soft mask: sigma is how gently the edit fades out."""
FILL = """\
Model: FLUX.1 Fill in models/diffusion_models, its two text encoders in models/text_encoders and its
VAE in models/vae. It is shown the soft mask as it is, and takes no negative prompt: cfg stays 1."""
KONTEXT = """\
Model: FLUX.1 Kontext in models/diffusion_models, its two text encoders in models/text_encoders and
its VAE in models/vae. Prompt is an instruction, such as "make her laugh"; what the model changes
outside the mask is thrown away. It takes no negative prompt: cfg stays 1."""
QWEN = """\
Model: Qwen-Image-Edit in models/diffusion_models, its text encoder in models/text_encoders and its
VAE in models/vae. Prompt is an instruction, such as "make her laugh"; what the model changes
outside the mask is thrown away."""
INPUTS = "1 · Inputs"
MASK = "2 · Face mask and prompt"
EDIT = "3 · Edit the face"
PROMPT = "a photorealistic face of an old woman, natural makeup, realistic studio lighting"
INSTRUCTION = "Make this person laugh. Keep the pose, the light and the background."
FLUX_FILES = {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp8_e4m3fn.safetensors"}


def workflows() -> list[Workflow]:
    """One for each kind of model."""
    plain = Workflow("face_edit_plain", START + PLAIN, needs="SD 1.5 or SDXL")
    face_edit_plain(plain)
    fill = Workflow("face_edit_flux_fill", START + FILL, needs="FLUX.1 Fill")
    face_edit_flux_fill(fill)
    kontext = Workflow("face_edit_kontext", START + KONTEXT, needs="FLUX.1 Kontext")
    face_edit_kontext(kontext)
    qwen = Workflow("face_edit_qwen", START + QWEN, needs="Qwen-Image-Edit")
    face_edit_qwen(qwen)
    return [plain, fill, kontext, qwen]


class Shell:
    """Picture, mask and crops for any model."""

    def __init__(self, flow: Workflow, model: Loaded) -> None:
        self.flow, self.model = flow, model
        with flow.column(INPUTS):
            self.picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
            parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        with flow.column(MASK):
            first = flow.nodes[-1].id + 1
            _, self.mask, self.crops = face_masks(flow, self.picture, parser, model.model, first)

    def finish(self, edited: Node) -> None:
        """Decode, paste, blend and prove."""
        with self.flow.column(EDIT):
            edited = self.flow.add("VAEDecode", "Decode", samples=edited, vae=self.model.vae)
        kept_elsewhere(self.flow, self.picture, edited, self.crops, self.mask, self.flow.name)

    def inpaint(self, positive: Node, negative: Node) -> Node:
        """Soft Inpaint on the crops."""
        return self.flow.add(
            "VisageSoftInpaint",
            "Soft inpaint",
            positive=positive,
            negative=negative,
            vae=self.model.vae,
            image=self.crops,
            mask=self.crops["masks"],
        )


def face_edit_plain(flow: Workflow) -> None:
    """A noise mask that Differential Diffusion follows by degrees."""
    with flow.column(INPUTS):
        model = BASE_SD15.load(flow)
    shell = Shell(flow, model)
    with flow.column(MASK):
        positive = flow.add("CLIPTextEncode", "Prompt", text=PROMPT, clip=model.clip)
        unwanted = "blurry, deformed, cartoon"
        negative = flow.add("CLIPTextEncode", "Negative prompt", text=unwanted, clip=model.clip)
        by_degrees = flow.add("DifferentialDiffusion", "Differential diffusion", model=model.model)
    with flow.column(EDIT):
        inpaint = shell.inpaint(positive, negative)
        edited = sampled(flow, "Sampler", by_degrees, inpaint, cfg=6, denoise=0.65)
    shell.finish(edited)


def flux(flow: Workflow, file: str) -> Loaded:
    """Flux in its three files."""
    with flow.column(INPUTS):
        model = flow.add("UNETLoader", "Model", unet_name=file, weight_dtype="default")
        clip = flow.add(
            "DualCLIPLoader", "Text encoders", type="flux", device="default", **FLUX_FILES
        )
        vae = flow.add("VAELoader", "VAE", vae_name="ae.safetensors")
    return Loaded(model["MODEL"], clip["CLIP"], vae["VAE"])


def guided(flow: Workflow, model: Loaded, prompt: str, guidance: float) -> tuple[Node, Node]:
    """Prompt with Flux' own guidance, and the empty negative that cfg 1 never reads."""
    with flow.column(MASK):
        words = flow.add("CLIPTextEncode", "Prompt", text=prompt, clip=model.clip)
        positive = flow.add("FluxGuidance", "Guidance", conditioning=words, guidance=guidance)
        negative = flow.add("ConditioningZeroOut", "No negative prompt", conditioning=words)
    return positive, negative


def face_edit_flux_fill(flow: Workflow) -> None:
    """Flux Fill, which takes picture and mask beside the latent."""
    model = flux(flow, "flux1-fill-dev.safetensors")
    shell = Shell(flow, model)
    positive, negative = guided(flow, model, PROMPT, 30)
    with flow.column(EDIT):
        inpaint = shell.inpaint(positive, negative)
        edited = sampled(flow, "Sampler", model.model, inpaint, cfg=1)
    shell.finish(edited)


def face_edit_kontext(flow: Workflow) -> None:
    """Flux Kontext, which reads the crop as a picture to be changed."""
    model = flux(flow, "flux1-dev-kontext_fp8_scaled.safetensors")
    shell = Shell(flow, model)
    positive, negative = guided(flow, model, INSTRUCTION, 2.5)
    with flow.column(EDIT):
        latent = flow.add("VAEEncode", "Crop latent", pixels=shell.crops, vae=model.vae)
        positive = flow.add(
            "ReferenceLatent", "Crop as reference", conditioning=positive, latent=latent
        )
        edited = edited_by(flow, model.model, positive, negative, latent, cfg=1)
    shell.finish(edited)


def face_edit_qwen(flow: Workflow) -> None:
    """Qwen-Image-Edit, whose text encoder sees the crop as well."""
    with flow.column(INPUTS):
        file = "qwen_image_edit_fp8_e4m3fn.safetensors"
        model = flow.add("UNETLoader", "Model", unet_name=file, weight_dtype="default")
        file = "qwen_2.5_vl_7b_fp8_scaled.safetensors"
        clip = flow.add(
            "CLIPLoader", "Text encoder", clip_name=file, type="qwen_image", device="default"
        )
        vae = flow.add("VAELoader", "VAE", vae_name="qwen_image_vae.safetensors")
    shell = Shell(flow, Loaded(model["MODEL"], clip["CLIP"], vae["VAE"]))
    with flow.column(EDIT):
        shown = {"clip": clip, "vae": vae, "image": shell.crops}
        encode = "TextEncodeQwenImageEdit"
        positive = flow.add(encode, "Prompt", prompt=INSTRUCTION, **shown)
        negative = flow.add(encode, "Negative prompt", prompt="", **shown)
        latent = flow.add("VAEEncode", "Crop latent", pixels=shell.crops, vae=vae)
        shifted = flow.add("ModelSamplingAuraFlow", "Shift", model=model, shift=3)
        edited = edited_by(flow, shifted, positive, negative, latent, cfg=4)
    shell.finish(edited)


def edited_by(flow: Workflow, model, positive: Node, negative: Node, latent: Node, cfg: float):
    """KSampler on a whole crop: the mask cuts afterwards."""
    return flow.add(
        "KSampler",
        "Sampler",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        cfg=cfg,
        sampler_name="euler",
        scheduler="simple",
    )
