"""What tells textures apart: VGG-19 or an image encoder. Importable only inside ComfyUI."""

from __future__ import annotations

import folder_paths
from comfy.clip_vision import ClipVisionModel

from ...models import registry
from ...models.starter_files import starter_file
from ...models.vgg19 import load_vgg19
from ...techniques.style_score import Extractor, gram_matrices
from .clip_vision import load_image_encoder
from .memory import fingerprint, kept


def style_fingerprint(features: str) -> str:
    """The file of a choice of features and when it changed; FileNotFoundError without it."""
    if features == registry.BUILT_IN:
        return fingerprint(starter_file("image_encoder"))
    return fingerprint(registry.locate("vgg19", features, folder_paths))


def style_extractor(features: str, clip_vision: ClipVisionModel | None) -> Extractor:
    """From a picture [H, W, 3] to Gram matrices [C, C] or to an embedding [D].

    `features` is a file of VGG-19, or the built-in choice: then `clip_vision` is the image encoder,
    or the starter's without one. Raises FileNotFoundError where the file is gone.
    """
    if features != registry.BUILT_IN:
        vgg = kept(load_vgg19, registry.locate("vgg19", features, folder_paths))
        return lambda picture: gram_matrices(vgg.of(picture))
    encoder = clip_vision or kept(load_image_encoder)
    # Not cropped: what lies at the sides is as much style as the middle.
    return lambda picture: encoder.encode_image(picture[None], crop=False)["image_embeds"][0].cpu()
