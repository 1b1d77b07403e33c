"""The face-editing nodes and ComfyUI's own around them, on the diffusers engine.

Each function is named after its node, has the node's inputs as arguments, and calls the same
technique.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..diffusion.latent import to_latent_size
from ..diffusion.sampling import sample
from ..models import registry
from ..models.face_classes import chosen_parts
from ..models.face_edit import read_face_edit
from ..models.face_parser import FaceParser, load_face_parser
from ..models.model_kinds import KINDS
from ..techniques.crops import crop_faces, cut_masks, paste_faces
from ..techniques.face_mask import face_mask
from ..techniques.pixel_blend import blend, prove
from ..techniques.soft_inpaint import inpaint_condition
from ..techniques.soft_mask import soften, soften_faces
from ..techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from .graph import Operator, Shown
from .pictures import as_bytes, read_picture, scale

if TYPE_CHECKING:
    from ..engines.diffusers.engine import DiffusersEngine

Parts = str
"""Names of parts, joined by commas on the command line."""


@dataclass(frozen=True)
class Text:
    """A prompt's embedding [B, T, d], and an inpainting UNet's mask and latent [B, 5, h, w]."""

    embedding: Tensor
    concat: Tensor | None = None


@dataclass(frozen=True)
class Latent:
    """Unscaled latents [B, 4, h, w], and the mask [B, 1, h, w] of what is to be painted."""

    samples: Tensor
    noise_mask: Tensor | None = None


def all_operators(files: Mapping[str, bytes], models: ModelFolders) -> dict[str, Operator]:
    """The functions by node class. `files` holds the pictures that Load Image may name."""

    def load_image(image: str):
        if image not in files:
            raise ValueError(f"there is no picture {image!r} beside the workflow or in the samples")
        return read_picture(files[image], image)

    def load_face_parser_(file: str):
        return (load_face_parser(models.locate("face_parser", file)),)

    def load_checkpoint(ckpt_name: str):
        from ..engines.single_file import load_single_file

        engine = load_single_file(models.file("checkpoints", ckpt_name))
        return engine, engine, engine

    def load_starter():
        # diffusers takes seconds to import, and many workflows do without it.
        from ..engines.diffusers.engine import DiffusersEngine
        from .style_operators import load_encoder

        engine = DiffusersEngine.load()
        return engine, engine, engine, load_encoder()

    def load_face_edit(model, file: str, strength: float):
        weights = read_face_edit(models.locate("face_edit", file))
        adapter = weights.adapter and FaceAwareTextAdapter.from_weights(weights.adapter)
        return _with_face_edit(model, weights, strength), adapter

    own = {
        "LoadImage": load_image,
        "VisageLoadFaceParser": load_face_parser_,
        "CheckpointLoaderSimple": load_checkpoint,
        "VisageLoadStarter": load_starter,
        "VisageLoadFaceEdit": load_face_edit,
    }
    from .style_operators import style_operators

    return {kind: Operator(run) for kind, run in own.items()} | _OPERATORS | style_operators(models)


@dataclass(frozen=True)
class ModelFolders:
    """A folder laid out as ComfyUI's `models`; None has the built-in starter only."""

    folder: Path | None

    def locate(self, kind: str, name: str) -> Path:
        """The path of a file that a node's widget names."""
        if name == registry.BUILT_IN:
            return registry.locate(kind, name, None)  # type: ignore[arg-type]
        return self.file(KINDS[kind].folder, name)

    def file(self, folder: str, name: str) -> Path:
        """The path of a file in one of the folders. Raises FileNotFoundError."""
        if self.folder is None:
            raise FileNotFoundError(f"{name!r} needs --models, the folder that holds {folder}/")
        path = self.folder / folder / name
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}.")
        return path


def _with_face_edit(engine: DiffusersEngine, weights, strength: float) -> DiffusersEngine:
    """The engine with a face-edit file's weights in a UNet of its own."""
    from ..engines.diffusers.engine import DiffusersEngine, add_face_edit

    unet = deepcopy(engine.unet)
    add_face_edit(unet, weights, strength)
    copied = object.__new__(DiffusersEngine)
    copied.__dict__.update(engine.__dict__, unet=unet)
    return copied


def _image_scale(image, upscale_method: str, width: int, height: int, crop: str):
    return (scale(image, upscale_method, width, height, crop),)


def _face_mask(
    image, parser: FaceParser, faces: str, face_index: int, edges: str, fill_holes: bool,
    largest_component: bool, no_face: str, parts: Parts = "face",
):  # fmt: skip
    result = face_mask(
        image, parser, chosen_parts(parts), which=faces, index=face_index, soft=edges == "soft",
        fill_holes=fill_holes, largest_component=largest_component,
        no_face=no_face.removesuffix(" mask"),
    )  # fmt: skip
    fraction = sum(result.area_share) / len(result.area_share)
    return result.mask, result.overlay, result.boxes, fraction, result.labels


def _soft_mask(mask, sigma: float, grow: int, unit: str = "pixels", boxes=None):
    if unit == "pixels":
        return (soften(mask, sigma, grow),)
    return (soften_faces(mask, sigma, grow, boxes),)


def _invert_mask(mask):
    return (1 - mask,)


def _crop_faces(image, mask, size: int, context: float, boxes=None, model=None):
    if size == 0:
        if model is None:
            raise ValueError("size is 0, the model's own size, and no model is connected")
        size = model.native_size
    return crop_faces(image, mask, size, context, boxes)


def _encode_text(clip, text: str):
    if any(mark in text for mark in ("(", ")", "embedding:")):
        raise ValueError(
            "weights in parentheses and embeddings in a prompt need ComfyUI: use --engine comfyui"
        )
    return (Text(clip.encode_text([text])),)


def _face_aware_text(conditioning: Text, mask, adapter, strength: float, crops=None):
    if adapter is None:
        raise ValueError("the face-edit file has no text adapter")
    if crops is not None:
        mask = cut_masks(mask, crops)
    adapted = adapt_text(conditioning.embedding, mask, adapter, strength)
    return (replace(conditioning, embedding=adapted),)


def _soft_inpaint(
    positive: Text, negative: Text, vae, image, mask, mask_mode: str, noise_mask: str
):
    condition = inpaint_condition(image, mask, vae.encode, vae.latent_scale, mask_mode == "soft")
    where = None
    if noise_mask != "none":
        where = to_latent_size(condition.mask, noise_mask == "soft")
    texts = (replace(text, concat=condition.concat) for text in (positive, negative))
    return *texts, Latent(condition.latent, where)


def _sample(
    model, seed: int, steps: int, cfg: float, sampler_name: str, scheduler: str, positive: Text,
    negative: Text, latent_image: Latent, denoise: float,
):  # fmt: skip
    if sampler_name != "euler" or scheduler not in ("normal", "simple"):
        raise ValueError(
            f"the diffusers engine samples with euler on normal or simple, not {sampler_name} on "
            f"{scheduler}: use --engine comfyui"
        )
    latent = latent_image.samples * model.latent_scale
    concat = positive.concat
    if concat is None:
        from ..engines.diffusers.branches import blank_condition

        concat = blank_condition(model, latent.shape)
    denoiser = model.denoiser(positive.embedding, negative.embedding, cfg, concat)
    sigmas = model.sigmas(scheduler, steps, denoise)
    result = sample(denoiser, latent, seed, sigmas, model.sigma_max, latent_image.noise_mask)
    return (replace(latent_image, samples=result / model.latent_scale),)


def _decode(samples: Latent, vae):
    return (vae.decode(samples.samples),)


def _encode(pixels, vae):
    height, width = (side // 8 * 8 for side in pixels.shape[1:3])
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    return (Latent(vae.encode(pixels[:, top : top + height, left : left + width, :3])),)


def _paste_faces(images, crops, original):
    return (paste_faces(images, crops, original),)


def _pixel_blend(edited, original, mask, mode: str, tone_match: str):
    blended = blend(edited, original, mask, mode, {"lab ring": "lab"}.get(tone_match, tone_match))
    proof = prove(blended, original, mask)
    return Shown((blended, proof.text(), proof.json()), texts=(proof.text(),))


def _preview_any(source):
    return Shown(texts=(source if isinstance(source, str) else str(source),))


def _preview_image(images):
    return Shown(previewed=tuple(as_bytes(image) for image in images))


def _save_image(images):
    return Shown(saved=tuple(as_bytes(image) for image in images))


_OPERATORS = {
    "ImageScale": Operator(_image_scale),
    "VisageFaceMask": Operator(_face_mask),
    "VisageSoftMask": Operator(_soft_mask),
    "InvertMask": Operator(_invert_mask),
    "VisageCropFaces": Operator(_crop_faces),
    "CLIPTextEncode": Operator(_encode_text),
    "VisageFaceAwareText": Operator(_face_aware_text),
    "VisageSoftInpaint": Operator(_soft_inpaint),
    "KSampler": Operator(_sample),
    "VAEDecode": Operator(_decode),
    "VAEEncode": Operator(_encode),
    "VisagePasteFaces": Operator(_paste_faces),
    "VisagePixelBlend": Operator(_pixel_blend),
    "PreviewAny": Operator(_preview_any, ends=True),
    "PreviewImage": Operator(_preview_image, ends=True),
    "SaveImage": Operator(_save_image, ends=True),
}
