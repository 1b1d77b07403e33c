"""The whole recipe: render, train every stage, export to a diffusers pipeline folder.

Each stage keeps its checkpoint in the work folder and uses the results of earlier stages. A run
that was killed can be resumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .dataset import PortraitSet, load_set, render_set

RECIPE = Path(__file__).with_name("recipe.json")
STAGES = (
    "data",
    "tokenizer",
    "vae",
    "text",
    "unet",
    "face_parser",
    "face_edit",
    "people",
    "scenes",
    "face_embedder",
    "face_detector",
    "image_encoder",
)


def read_recipe(path: Path = RECIPE) -> dict[str, Any]:
    """Return the recipe's settings; raises ValueError for a file that is not a recipe."""
    try:
        recipe = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"The recipe {path} cannot be read: {error}.") from error
    missing = ({"seed"} | set(STAGES)) - set(recipe)
    if missing:
        raise ValueError(f"The recipe {path} lacks the sections {sorted(missing)}.")
    return recipe


class Recipe:
    """The stages as properties; on first use each is trained or read from its checkpoint."""

    def __init__(self, settings: Mapping[str, Any], work: Path) -> None:
        self.settings = settings
        self.seed = settings["seed"]
        self.size = settings["data"]["size"]
        self.work = work

    @cached_property
    def data(self) -> PortraitSet:
        settings = self.settings["data"]
        arguments = (self.work, "train", settings["portraits"])
        render_set(*arguments, settings["render_size"])
        return load_set(*arguments)

    @cached_property
    def tokenizer(self):
        from .tokenizer import load_tokenizer, train_tokenizer

        folder = self.work / "tokenizer"
        if (folder / "tokenizer_config.json").exists():
            return load_tokenizer(folder)
        captions = [caption for fact in self.data.facts for caption in fact["captions"]]
        return train_tokenizer(captions, self.settings["tokenizer"]["merges"], folder)

    @cached_property
    def vae(self):
        from .vae import standardise_latents, train_decoder, train_vae

        settings = self.settings["vae"]
        vae = train_vae(settings, self.seed, self.size, self.data, self.work)
        standardise_latents(vae, self.data, self.size)
        train_decoder(settings["decoder"], self.seed, vae, self.data, self.work)
        return vae

    @cached_property
    def text(self):
        from .text import train_text

        settings = self.settings["text"]
        return train_text(settings, self.seed, self.tokenizer, self.data.facts, self.work)

    @cached_property
    def examples(self):
        from .inpainting import encode_examples

        path = self.work / "examples.pt"
        variants = self.settings["unet"]["variants"]
        return encode_examples(self.vae, self.data, self.size, variants, self.seed, path)

    @cached_property
    def unet(self):
        from .unet import train_unet

        return train_unet(
            self.settings["unet"],
            self.seed,
            self.tokenizer,
            self.text,
            self.data.facts,
            self.examples,
            self.work,
        )

    @cached_property
    def face_parser(self):
        from .face_parser import train_face_parser

        return train_face_parser(self.settings["face_parser"], self.seed, self.data, self.work)

    @cached_property
    def face_edit(self):
        """The K/V differences and the text adapter."""
        from .face_edit import train_starter_face_edit

        return train_starter_face_edit(
            self.settings["face_edit"],
            self.size,
            self.tokenizer,
            self.text,
            self.vae,
            self.unet,
            self.data,
            self.work,
        )

    @cached_property
    def people(self) -> PortraitSet:
        """A larger set of people than `data`, in pictures of half the size."""
        settings = self.settings["people"]
        folder, count = self.work / "people", settings["portraits"]
        render_set(folder, "train", count, settings["size"])
        return load_set(folder, "train", count)

    @cached_property
    def scenes(self):
        from .scenes import load_scenes, render_scenes

        settings = self.settings["scenes"]
        render_scenes(self.work, settings["count"], settings["size"])
        return load_scenes(self.work, settings["count"])

    @cached_property
    def face_embedder(self):
        from .face_embedder import train_face_embedder

        settings = self.settings["face_embedder"]
        return train_face_embedder(settings, self.seed, self.people, self.work)

    @cached_property
    def face_detector(self):
        from .face_detector import train_face_detector

        settings = self.settings["face_detector"]
        return train_face_detector(settings, self.seed, self.people, self.scenes, self.work)

    @cached_property
    def image_encoder(self):
        from .image_encoder import train_image_encoder

        settings = self.settings["image_encoder"]
        return train_image_encoder(settings, self.seed, self.people, self.work)


def run(settings: Mapping[str, Any], work: Path, stage: str, threads: int | None = None) -> None:
    """Train up to and including `stage`; finished stages are read from their checkpoints."""
    if threads:
        torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    getattr(Recipe(settings, work), stage)
