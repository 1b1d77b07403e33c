"""Style transfer, faces and scores on the diffusers engine; see `operators`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..models import registry
from ..models.analyzer_choice import AUTO, STARTER, explain
from ..models.starter_files import starter_file
from ..models.vgg19 import load_vgg19
from ..techniques.face_choice import ChosenFaces, reference_embedding
from ..techniques.face_overlay import draw_faces
from ..techniques.identity_score import report_identity
from ..techniques.latent_adain import latent_adain
from ..techniques.latent_masks import cell_mask
from ..techniques.query_preserving import QueryPreserving
from ..techniques.restyling import transfer_latents
from ..techniques.shapes import as_image, as_mask, match_batch, split_alpha
from ..techniques.style_score import StyleJudge, gram_matrices, score_styles
from ..techniques.tradeoff import add_run, as_csv, make_run
from ..techniques.tradeoff import as_json as curve_as_json
from ..techniques.tradeoff_plot import draw_tradeoff
from .analyzers import find_analyzer
from .graph import Operator, Shown
from .operators import Latent, ModelFolders, Text


def style_operators(models: ModelFolders) -> dict[str, Operator]:
    """The functions by node class."""

    def load_analyzer(
        analyzer: str, order: str, face_index: int, smallest: int, largest: int, reference=None,
        image=None,
    ):  # fmt: skip
        loaded, taken = find_analyzer(analyzer, models.folder)
        person = None
        if reference is not None:
            person = reference_embedding(split_alpha(as_image(reference, "reference"))[0], loaded)
        chosen = ChosenFaces(loaded, order, face_index, smallest, largest, person)
        said = ()
        if analyzer == AUTO:
            said = (explain(STARTER if taken == registry.BUILT_IN else taken),)
        return Shown((chosen, None if image is None else _overlay(image, chosen)), texts=said)

    def score_style(result, style, features: str, original=None, clip_vision=None):
        pictures, styles = (
            split_alpha(as_image(image, name))[0]
            for image, name in ((result, "result"), (style, "style"))
        )
        judge = StyleJudge(_extractor(features, clip_vision, models), styles)
        before = None
        if original is not None:
            before = split_alpha(as_image(original, "original"))[0]
            before, pictures = match_batch(before, pictures, "original", "result")
        scores = score_styles(pictures, judge, before)
        report = "\n".join(scores.lines)
        return Shown((scores.style, scores.colour, report), texts=(report,))

    return {
        "VisageLoadFaceAnalyzer": Operator(load_analyzer),
        "VisageIdentityScore": Operator(_score_identity),
        "VisageStyleScore": Operator(score_style),
        "VisageLatentAdaIN": Operator(_latent_adain),
        "VisageStyleTransfer": Operator(_style_transfer),
        "VisageTradeoff": Operator(_tradeoff, ends=True),
    }


def _overlay(image: Tensor, faces: ChosenFaces) -> Tensor:
    shown = []
    for picture in split_alpha(as_image(image, "image"))[0]:
        found = faces.find(picture)
        words = [f"{number} ({face.score:.2f})" for number, face in enumerate(found)]
        shown.append(draw_faces(picture, [face.box for face in found], words))
    return torch.stack(shown)


def _score_identity(original, result, faces, accept_from: float, no_face: str):
    before = split_alpha(as_image(original, "original"))[0]
    before, after = match_batch(before, as_image(result, "result"), "original", "result")
    judged = report_identity(before, split_alpha(after)[0], faces, accept_from, no_face)
    good = torch.tensor(judged.accepted)
    outputs = (
        judged.score, judged.text, after[good], after[~good], judged.overlay, judged.json,
    )  # fmt: skip
    return Shown(outputs, texts=(judged.text,))


def _extractor(features: str, clip_vision: Any, models: ModelFolders) -> Callable:
    if features != registry.BUILT_IN:
        vgg = load_vgg19(models.locate("vgg19", features))
        return lambda picture: gram_matrices(vgg.of(picture))
    encoder = clip_vision or load_encoder()
    # Not cropped, because the sides of a picture have as much style as its middle.
    return lambda picture: encoder.features(picture[None], crop=False)["image_embeds"][0]


def load_encoder() -> Any:
    """The starter's image encoder."""
    from ..engines.image_encoder import ImageEncoder

    return ImageEncoder.load(starter_file("image_encoder").parent)


def _latent_adain(
    content: Latent, style: Latent, strength: float, content_mask=None, style_mask=None
):
    cells = [
        None if mask is None else cell_mask(as_mask(mask, name), *latent.samples.shape[-2:], name)
        for mask, latent, name in (
            (content_mask, content, "content_mask"),
            (style_mask, style, "style_mask"),
        )
    ]
    return (replace(content, samples=latent_adain(
        content.samples, style.samples, strength, *cells
    )),)  # fmt: skip


def _style_transfer(
    model, positive: Text, content: Latent, style: Latent, host: str, steps: int,
    inversion_steps: int, gamma: float, temperature: float, adain: float, content_weight: float,
    learning_rate: float,
):  # fmt: skip
    from ..engines.diffusers.branches import DiffusersRun

    if host != "query-preserving":
        raise ValueError(f"the diffusers engine has no {host} here: use --engine comfyui")
    pictures = content.samples.expand(max(len(content.samples), len(style.samples)), -1, -1, -1)
    run, style_run = (DiffusersRun(model, latent.shape) for latent in (pictures, style.samples))
    settings = QueryPreserving(gamma, temperature, adain)
    result = transfer_latents(
        run, style_run, pictures, style.samples, positive.embedding[0], steps, inversion_steps,
        settings,
    )  # fmt: skip
    return (replace(content, samples=result),)


def _tradeoff(style: float, identity: float, label: str, keep: str, runs=None):
    if keep:
        raise ValueError("keep collects the runs of several pictures: leave it empty in a batch")
    collected: list = []
    for run in [*(runs or []), make_run(label, style, identity)]:
        collected = add_run(collected, run)
    table = as_csv(collected)
    outputs = draw_tradeoff(collected)[None], table, curve_as_json(collected), collected
    return Shown(outputs, texts=(table,))
