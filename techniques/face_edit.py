"""Edit faces by prompt and leave every other pixel untouched: the whole chain on one engine.

Kang et al., "High-Fidelity Face Swap via Prompt-Driven Inpainting and Pixel-Level Background
Preservation", figure 1: face mask, soft mask, adapted prompt, inpainting, pixel blend. Around the
inpainting each face is cut out with its surroundings and put back, so that pictures of any size
with any number of faces are edited at the model's own resolution. The ComfyUI workflow takes the
same steps with one node each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.interface import Engine
from ..diffusion.latent import to_latent_size
from ..diffusion.sampling import sample
from ..models.face_parser import FaceParser
from .crops import crop_faces, cut_masks, paste_faces
from .face_mask import face_mask
from .pixel_blend import BlendProof, blend, prove
from .shapes import as_image, split_alpha
from .soft_inpaint import inpaint_condition
from .soft_mask import soften, soften_faces
from .text_adapter import FaceAwareTextAdapter, adapt_text


@dataclass(frozen=True)
class FaceEditSettings:
    """Every choice of a face edit; but for the blend the defaults are the shipped workflow's.

    parts, faces and face_index as for `face_mask`; sigma and grow of the soft mask in percent of
    each face's size (`soften_faces`), or with unit "pixels" in pixels of the picture; size in
    pixels, 0 for the model's own, and context of the crops; mask_mode "soft" or "hard" and
    noise_mask "soft", "hard" or "none" as on the node Soft Inpaint; blend_mode and tone_match as
    for `blend`.
    """

    negative: str = ""
    seed: int = 0
    parts: tuple[str, ...] = ("face",)
    faces: str = "all"
    face_index: int = 0
    sigma: float = 8.0
    grow: int = 4
    unit: str = "percent of face"
    size: int = 0
    context: float = 0.8
    adapter_strength: float = 0.3
    mask_mode: str = "soft"
    noise_mask: str = "soft"
    steps: int = 20
    guidance: float = 5.0
    scheduler: str = "normal"
    denoise: float = 1.0
    blend_mode: str = "linear"
    tone_match: str = "off"


@dataclass(frozen=True)
class FaceEditResult:
    """edited and blended [B, H, W, C], mask and soft_mask [B, H, W], overlay [B, h, w, 3], and the
    proof that nothing outside the soft mask changed."""

    edited: Tensor
    blended: Tensor
    mask: Tensor
    soft_mask: Tensor
    overlay: Tensor
    proof: BlendProof


@torch.inference_mode()
def edit_faces(
    image: Tensor,
    prompt: str,
    engine: Engine,
    parser: FaceParser,
    settings: FaceEditSettings | None = None,
    adapter: FaceAwareTextAdapter | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceEditResult:
    """Edit the faces in pictures [B, H, W, C] in 0..1 as the prompt says.

    adapter is the face-edit file's, where it has one. progress(done, steps) is called after every
    sampling step. Raises ValueError for what the single steps refuse.
    """
    settings = settings or FaceEditSettings()
    image = as_image(image)
    picture, _ = split_alpha(image)
    faces = face_mask(
        picture, parser, settings.parts, which=settings.faces, index=settings.face_index
    )
    soft_mask = _soft_mask(faces.mask, faces.boxes, settings)
    crop_images, crop_masks, crops = crop_faces(
        picture, soft_mask, settings.size or engine.native_size, settings.context, faces.boxes
    )
    text = engine.encode_text([prompt, settings.negative])
    positive, negative = text[:1], text[1:]
    if adapter is not None:
        # M of the paper is the face's own mask: growth and blur would count as more face.
        face = cut_masks(faces.mask, crops)
        positive = adapt_text(positive, face, adapter, settings.adapter_strength)
    inpainted = inpaint(crop_images, crop_masks, positive, negative, engine, settings, progress)
    edited = paste_faces(inpainted, crops, picture)
    blended = blend(edited, image, soft_mask, settings.blend_mode, settings.tone_match)
    proof = prove(blended, image, soft_mask)
    return FaceEditResult(edited, blended, faces.mask, soft_mask, faces.overlay, proof)


def _soft_mask(mask: Tensor, boxes: list, settings: FaceEditSettings) -> Tensor:
    if settings.unit == "pixels":
        return soften(mask, settings.sigma, settings.grow)
    return soften_faces(mask, settings.sigma, settings.grow, boxes)


def inpaint(
    image: Tensor,
    mask: Tensor,
    positive: Tensor,
    negative: Tensor,
    engine: Engine,
    settings: FaceEditSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Paint pictures [N, S, S, 3] anew where mask [N, S, S] is above 0, as embedded prompts say.

    Of the settings those of sampling and mask modes count. progress as for `edit_faces`.
    """
    condition = inpaint_condition(
        image, mask, engine.encode, engine.latent_scale, settings.mask_mode == "soft"
    )
    latent = condition.latent * engine.latent_scale
    denoiser = engine.denoiser(positive, negative, settings.guidance, condition.concat)
    noise_mask = None
    if settings.noise_mask != "none":
        noise_mask = to_latent_size(condition.mask, settings.noise_mask == "soft")
    sigmas = engine.sigmas(settings.scheduler, settings.steps, settings.denoise)

    def report(step: int, _: Tensor) -> None:
        if progress is not None:
            progress(step + 1, settings.steps)

    result = sample(denoiser, latent, settings.seed, sigmas, engine.sigma_max, noise_mask, report)
    return engine.decode(result / engine.latent_scale)
