"""Layers, one-node edits, faces brought, backgrounds kept, and targets found.

The figure of Bring Face needs photographs of your own: the environment variable VISAGE_PHOTOS names
a folder with the sub-folder `people`, two expressions of each person, and dlib is there
(the extra `eval`). The one of Edit Faces needs ComfyUI. What is missing is left out.
"""

from __future__ import annotations

import io
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..engines.comfyui.location import find_comfyui
from ..evaluation.classics import interval
from ..evaluation.photo_identity import PART, person_of
from ..headless.client import ComfyServer
from ..headless.server import comfy_server
from ..models.dlib_faces import dlib_analyzer
from ..models.face_parser import load_face_parser
from ..models.picture_files import read_picture
from ..models.starter_files import starter_file
from ..techniques.bring_faces import bring_faces
from ..techniques.face_choice import size_of
from ..techniques.fill_mask import fill_mask
from ..techniques.layers import as_layers, compose, split_layer
from ..techniques.mask_logic import mask_of_boxes
from ..techniques.pixel_blend import blend
from ..techniques.soft_mask import soften
from ..techniques.tradeoff import Run
from ..techniques.tradeoff_target import Target, find_target
from . import say

SAMPLES = Path(__file__).resolve().parents[1] / "web" / "samples"
PEOPLE, QUICK_PEOPLE = 40, 3
MAX_SIDE = 640  # pixels of the people's photographs
TARGETS = (0.3, 0.45, 0.6, 0.75)


def run(quick: bool, samples: int | None = None) -> dict[str, float]:
    """All figures by name; Bring Face on pictures of `samples` people."""
    figures = {
        "layers_roundtrip_max_abs": layers_roundtrip(),
        "background_max_abs_diff": background(),
        **targets(),
    }
    figures |= expansion()
    return figures | faces_brought(samples or (QUICK_PEOPLE if quick else PEOPLE))


def layers_roundtrip() -> float:
    """Largest change of a photograph that is cut into three layers and put together untouched."""
    picture = _sample("visage_astronaut.png")
    layers = as_layers(picture)
    for name, box in (("head", (140, 10, 170, 190)), ("badge", (130, 345, 82, 80))):
        mask = soften(mask_of_boxes([[box]], *picture.shape[1:3]), 4)
        layers = split_layer(layers, mask, name)
    return float((compose(layers) - picture).abs().max())


def background() -> float:
    """Largest change outside the mask of a thing removed from a photograph."""
    picture = _sample("visage_astronaut.png")
    mask = mask_of_boxes([[(130, 345, 82, 80)]], *picture.shape[1:3])
    soft = soften(mask, 1.5)
    whole = blend(fill_mask(picture, mask), picture, soft)
    return float((whole - picture).abs()[soft == 0].max())


def targets() -> dict[str, float]:
    """The most runs that a target took, and the largest error, over curves of five shapes."""
    curves = (
        lambda x: 1 - 0.8 * x,
        lambda x: 0.1 + 0.9 * x,
        lambda x: 0.15 + 0.85 * np.exp(-6 * x),
        lambda x: 1 - 0.9 * x**6,
        lambda x: 0.95 - 0.85 / (1 + np.exp(-14 * (x - 0.6))),
    )
    found = [_searched(curve, value) for curve in curves for value in TARGETS]
    return {
        "target_runs": float(max(runs for runs, _ in found)),
        "target_error": max(error for _, error in found),
    }


def _searched(curve, value: float) -> tuple[int, float]:
    target = Target("identity", value)
    found = find_target(lambda x: Run(f"x={x}", 1 - curve(x), curve(x), {"x": x}), 0, 1, target)
    return len(found.runs), float("inf") if found.best is None else abs(target.of(found.best))


def expansion() -> dict[str, float]:
    """Largest difference of Edit Faces from the same nodes one by one, on a server."""
    comfyui = find_comfyui()
    if comfyui is None:
        say("There is no ComfyUI: Edit Faces is not compared with its nodes.")
        return {}
    with comfy_server(comfyui) as server:
        return {"expansion_max_abs": expansion_on(server)}


def expansion_on(server: ComfyServer, steps: int = 2) -> float:
    """The same on a server that runs: the difference of the saved pictures, in 0..1."""
    picture = server.upload(SAMPLES / "visage_astronaut.png")
    made = [_saved(server, graph(picture, steps)) for graph in (short_edit_faces, long_edit_faces)]
    return float(np.abs(made[0].astype(int) - made[1]).max() / 255)


SETTINGS = {
    "seed": 7, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
}  # fmt: skip
PROMPT, SIZE = "a portrait of a woman, smiling", 128


def _loaders(picture: str) -> dict:
    built_in = "starter (built in)"
    return {
        "picture": _node("LoadImage", image=picture),
        "starter": _node("VisageLoadStarter"),
        "parser": _node("VisageLoadFaceParser", file=built_in),
    }


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def short_edit_faces(picture: str, steps: int) -> dict:
    """Edit Faces on the starter, in API form."""
    model = {"model": ["starter", 0], "clip": ["starter", 1], "vae": ["starter", 2]}
    edit = _node(
        "VisageEditFaces", **model, image=["picture", 0], parser=["parser", 0], prompt=PROMPT,
        negative="", parts="face", sigma=8.0, grow=4, size=SIZE, context=0.8,
        face_edit="starter (built in)", blend="linear", tone_match="off", steps=steps, **SETTINGS,
    )  # fmt: skip
    save = _node("SaveImage", images=["edit", 0], filename_prefix="visage/short")
    return {**_loaders(picture), "edit": edit, "save": save}


def long_edit_faces(picture: str, steps: int) -> dict:
    """The same by the pack's own nodes and ComfyUI's sampler, one by one."""
    image, vae, clip = ["picture", 0], ["starter", 2], ["starter", 1]
    return {
        **_loaders(picture),
        "tuned": _node(
            "VisageLoadFaceEdit", model=["starter", 0], file="starter (built in)", strength=1.0
        ),
        "no": _node("CLIPTextEncode", clip=clip, text=""),
        "words": _node("CLIPTextEncode", clip=clip, text=PROMPT),
        "mask": _node(
            "VisageFaceMask", image=image, parser=["parser", 0], parts="face", faces="all",
            face_index=0, edges="binary", fill_holes=True, largest_component=True,
            no_face="empty mask",
        ),
        "soft": _node(
            "VisageSoftMask", mask=["mask", 0], sigma=8.0, grow=4, unit="percent of face",
            boxes=["mask", 2],
        ),
        "crops": _node(
            "VisageCropFaces", image=image, mask=["soft", 0], size=SIZE, context=0.8,
            boxes=["mask", 2],
        ),
        "aware": _node(
            "VisageFaceAwareText", conditioning=["words", 0], mask=["mask", 0],
            adapter=["tuned", 1], strength=0.3, crops=["crops", 2],
        ),
        "shown": _node(
            "VisageSoftInpaint", positive=["aware", 0], negative=["no", 0], vae=vae,
            image=["crops", 0], mask=["crops", 1], mask_mode="soft", noise_mask="soft",
        ),
        "latent": _node(
            "KSampler", model=["tuned", 0], positive=["shown", 0], negative=["shown", 1],
            latent_image=["shown", 2], steps=steps, **SETTINGS,
        ),
        "painted": _node("VAEDecode", samples=["latent", 0], vae=vae),
        "pasted": _node(
            "VisagePasteFaces", images=["painted", 0], crops=["crops", 2], original=image
        ),
        "blend": _node(
            "VisagePixelBlend", edited=["pasted", 0], original=image, mask=["soft", 0],
            mode="linear", tone_match="off",
        ),
        "save": _node("SaveImage", images=["blend", 0], filename_prefix="visage/long"),
    }  # fmt: skip


def _saved(server: ComfyServer, prompt: dict) -> np.ndarray:
    (files,) = [shown["images"] for shown in server.run(prompt).values() if "images" in shown]
    return np.asarray(Image.open(io.BytesIO(server.download(files[0]))).convert("RGB"))


def faces_brought(count: int) -> dict[str, float]:
    """How much nearer a person's face comes to another photograph of the same person.

    For each person the face of one expression is brought into the photograph of ANOTHER person
    (strangers: `bring_face_identity_gain_stranger`) and into the other expression of their own
    (`bring_face_identity_gain`); dlib's cosine to the reference, after minus before, which is what
    a target's own cosine leaves to gain.
    """
    root = os.environ.get("VISAGE_PHOTOS")
    if not root:
        say("VISAGE_PHOTOS names no folder of photographs: Bring Face is left out.")
        return {}
    by_person: dict[str, list[Path]] = {}
    for path in sorted((Path(root) / PART).glob("*.jpg")):
        by_person.setdefault(person_of(path.name), []).append(path)
    people = [files[:2] for _, files in sorted(by_person.items()) if len(files) > 1][:count]
    analyzer, parser = dlib_analyzer(), load_face_parser(starter_file("face_parser"))
    same = [_gain(target, reference, analyzer, parser) for target, reference in people]
    pairs = list(combinations(people, 2))[: len(people)]
    other = [_gain(first[0], second[0], analyzer, parser) for first, second in pairs]
    figures: dict[str, float] = {"bring_face_people": float(len(people))}
    for name, rows in (("", same), ("_stranger", other)):
        gains = [row for row in rows if row is not None]
        figures[f"bring_face_refused{name}"] = float(len(rows) - len(gains))
        if len(gains) > 1:
            gain, low, high = interval([after - before for before, after in gains])
            figures |= {
                f"bring_face_identity_before{name}": float(np.mean([b for b, _ in gains])),
                f"bring_face_identity_gain{name}": gain,
                f"bring_face_identity_gain{name}_low": low,
                f"bring_face_identity_gain{name}_high": high,
            }
    return figures


def _gain(target: Path, reference: Path, analyzer, parser) -> tuple[float, float] | None:
    """The cosine to the reference before and after; None where the pair is refused."""
    image, other = _photograph(target), _photograph(reference)
    faces = analyzer.find(image[0]), analyzer.find(other[0])
    if not all(faces):
        return None
    here, there = (max(found, key=size_of).landmarks for found in faces)
    try:
        brought = bring_faces(image, other, analyzer, parser).images
    except ValueError as error:
        say(f"{target.name} <- {reference.name}: {error}")
        return None
    person = analyzer.embed(other[0], [there])[0]
    before, after = (float(analyzer.embed(p[0], [here])[0] @ person) for p in (image, brought))
    return before, after


def _photograph(path: Path) -> Tensor:
    picture = read_picture(path).convert("RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return torch.from_numpy(np.array(picture)).float()[None] / 255


def _sample(name: str) -> Tensor:
    return (
        torch.from_numpy(np.array(read_picture(SAMPLES / name).convert("RGB"))).float()[None] / 255
    )
