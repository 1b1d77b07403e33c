"""Prepares style pictures for an IP-Adapter. Importable only inside ComfyUI."""

from __future__ import annotations

from typing import NamedTuple

import torch
from comfy.clip_vision import ClipVisionModel
from torch import Tensor

from ...models.face_analyzer import FaceAnalyzer
from ...models.face_parser import FaceParser
from ...models.ip_adapter import require_matching_encoder
from ...techniques.face_choice import reference_embedding
from ...techniques.face_mask import face_mask
from ...techniques.shapes import as_image, as_mask, fit_mask, split_alpha
from .adapter import LoadedAdapter, blank_features, picture_features
from .progress import Progress

REFERENCE_MASKS = ["off", "auto", "mask"]


class StylePictures(NamedTuple):
    """Features of each picture, those of what is to be avoided, and what stayed unseen, a mask
    [R or 1, H, W].
    """

    features: list[Tensor]
    negative: Tensor
    unseen: Tensor


def look_at_pictures(
    adapter: LoadedAdapter,
    encoder: ClipVisionModel,
    image: Tensor,
    reference_mask: str,
    style_mask: Tensor | None = None,
    parser: FaceParser | None = None,
    negative_image: Tensor | None = None,
    faces: FaceAnalyzer | None = None,
) -> StylePictures:
    """Look at style pictures [R, H, W, C] as the adapter needs it.

    A FaceID adapter is given the embedding of the largest face, by `faces`. Any other is given the
    encoder's features, without what a reference mask hides: nothing ("off"), the face and hair that
    the parser finds ("auto"), or `style_mask` ("mask").

    Raises ValueError where what the adapter or the reference mask needs is not there or does not
    fit.
    """
    image, _ = split_alpha(as_image(image))
    avoided = None
    if negative_image is not None:
        avoided = split_alpha(as_image(negative_image, "negative_image"))[0][:1]
    if adapter.network.reads == "face_embedding":
        unseen = image.new_zeros(image.shape[:3])
        features = _people(adapter, faces, image)
        negative = torch.zeros_like(features[0])
        if avoided is not None:
            (negative,) = _people(adapter, faces, avoided)
    else:
        unseen = _unseen(image, reference_mask, style_mask, parser)
        features = picture_features(adapter, encoder, image, unseen)
        negative = blank_features(adapter, encoder)
        if avoided is not None:
            (negative,) = picture_features(adapter, encoder, avoided)
    return StylePictures(features, negative, unseen)


def _people(adapter: LoadedAdapter, faces: FaceAnalyzer | None, image: Tensor) -> list[Tensor]:
    """The embedding [1, D] of the largest face of each picture [R, H, W, 3]."""
    if faces is None:
        raise ValueError(
            "This is a FaceID adapter: it takes a person's face and no style. Connect faces from "
            "Load Face Analyzer, or load a base, light, plus or full-face IP-Adapter."
        )
    if faces.embedding_size:
        require_matching_encoder(adapter.network, faces.embedding_size)
    return [reference_embedding(picture[None], faces)[None] for picture in image]


def _unseen(
    image: Tensor, reference_mask: str, style_mask: Tensor | None, parser: FaceParser | None
) -> Tensor:
    if reference_mask == "mask":
        if style_mask is None:
            raise ValueError("reference_mask is 'mask': connect a style_mask, or choose 'off'.")
        return fit_mask(as_mask(style_mask, "style_mask"), *image.shape[1:3], "style_mask")
    if reference_mask == "off":
        return image.new_zeros(image.shape[:3])
    if parser is None:
        raise ValueError(
            "reference_mask is 'auto': connect a parser from Load Face Parser, or choose 'off'."
        )
    return face_mask(image, parser, ["face and hair"], progress=Progress()).mask
