"""The stages on photographs: they train an exported starter further and export another one."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import torch

from ...engines.diffusers import DiffusersEngine
from ...models.adain import save_pair
from ...models.face_detector import load_face_detector
from ...models.face_edit import read_face_edit, write_face_edit
from ...models.face_parser import load_face_parser
from ...models.starter_files import starter_file
from .adain import train_adain
from .dataset import PortraitSet, load_set, render_set
from .export import write_network
from .face_detector import train_face_detector
from .face_parser import train_face_parser
from .photo_labels import label_maps
from .photo_unet import Pictures, train_photo_unet
from .photo_vae import Sources, train_photo_vae
from .photo_views import face_maps
from .photographs import Photograph, Split, read_photographs, read_picture
from .scenes import load_scenes, render_scenes
from .vae import preview_factors

PHOTO_STAGES = ("photo_vae", "photo_unet", "photo_parser", "photo_detector", "photo_adain")
MAX_PAINTING = 640
# Number of held-out photographs for the learning curve.
MEASURED = 32
PICTURES = (".jpg", ".jpeg", ".png")


class PhotoRecipe:
    """The stages as properties; on first use each is trained or read from its checkpoint.

    start: an exported starter; photos: the labelled photographs; paintings: pictures for the
    autoencoder, or None.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        work: Path,
        start: Path,
        photos: Path,
        paintings: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings = settings
        self.seed = settings["seed"]
        self.work = work
        self.start = start
        self.photos = photos
        self.paintings = paintings
        self.device = device

    @cached_property
    def engine(self) -> DiffusersEngine:
        """The parts of the starter that is trained further."""
        return DiffusersEngine.load(self.start)

    @cached_property
    def face_edit(self):
        return read_face_edit(starter_file("face_edit", self.start))

    @cached_property
    def parser(self):
        return load_face_parser(starter_file("face_parser", self.start))

    @cached_property
    def drawings(self) -> PortraitSet:
        settings = self.settings["data"]
        count = self.settings["photographs"]["drawings"]
        render_set(self.work, "train", count, settings["render_size"])
        return load_set(self.work, "train", count)

    def _photographs(self, split: Split) -> list[Photograph]:
        photographs = [p for p in read_photographs(self.photos, split) if p.labels]
        if not photographs:
            raise ValueError(
                f"{self.photos} holds no labelled photographs of the split {split!r}: labels.csv "
                "beside the pictures must have a line for each."
            )
        return photographs

    @cached_property
    def train_photographs(self) -> list[Photograph]:
        return self._photographs("train")

    def _pictures(self, photographs: list[Photograph], split: Split) -> Pictures:
        maps = face_maps(photographs, self.parser, self.work / f"face_maps_{split}.npz")
        return Pictures(photographs, maps, self.drawings)

    @cached_property
    def sources(self) -> Sources:
        """The pictures that are cropped."""
        photographs = self.train_photographs
        maps = face_maps(photographs, self.parser, self.work / "face_maps_train.npz")
        drawings = self.drawings
        paintings = read_paintings(self.paintings)
        return Sources(photographs, drawings.images, paintings, maps, drawings.labels)

    @cached_property
    def photo_vae(self):
        """The autoencoder, trained further on photographs; its latents move a little."""
        vae = self.engine.vae
        train_photo_vae(
            self.settings["photo_vae"],
            self.seed,
            vae,
            self.parser.network,
            self.sources,
            self.work,
            self.device,
        )
        return vae

    @cached_property
    def photo_adain(self):
        """The AdaIN pair, trained on the CPU, where sorting its patches is fast."""
        return train_adain(self.settings["photo_adain"], self.seed, self.sources, self.work)

    @cached_property
    def photo_unet(self):
        return train_photo_unet(
            self.settings["photo_unet"],
            self.seed,
            self.engine.tokenizer,
            self.engine.text_encoder,
            self.photo_vae,
            self._pictures(self.train_photographs, "train"),
            self._pictures(self._photographs("test")[:MEASURED], "test"),
            self.engine.unet,
            self.face_edit,
            self.settings["face_edit"]["adapter_strength"],
            self.work,
            self.device,
        )

    @cached_property
    def labelled(self) -> list:
        """The photographs with their label maps, with the starter's parser as the teacher."""
        photographs = read_photographs(self.photos, "train")
        return label_maps(photographs, self.parser, self.work / "label_maps.npz")

    @cached_property
    def photo_parser(self):
        settings = self.settings["photo_parser"]
        arguments = (settings, self.seed, self.drawings, self.work)
        return train_face_parser(*arguments, self.labelled, self.parser)

    @cached_property
    def photo_detector(self):
        settings = self.settings["photo_detector"]
        render_scenes(self.work, settings["drawn_scenes"], settings["scene_size"])
        scenes = load_scenes(self.work, settings["drawn_scenes"])
        start = load_face_detector(starter_file("face_detector", self.start))
        arguments = (settings, self.seed, self.drawings, scenes, self.work)
        return train_face_detector(*arguments, self.labelled, start)

    def run(self, stage: str) -> None:
        """Train one of PHOTO_STAGES, and those that it needs. Raises ValueError for another."""
        if stage not in PHOTO_STAGES:
            raise ValueError(
                f"There is no stage {stage!r} on photographs; those are {', '.join(PHOTO_STAGES)}."
            )
        getattr(self, stage)

    def export(self, out: Path) -> Path:
        """Write the starter with the newly trained networks to `out`, which must not exist yet.

        All other files are copied from the starter that the training began with.
        """
        if out.exists():
            raise ValueError(
                f"{out} exists already. Move it away or name another folder with --out."
            )
        unet, vae = self.photo_unet, self.photo_vae
        size = self.settings["photo_unet"]["sizes"][-1][1]
        unet.register_to_config(sample_size=size // 8)
        vae.register_to_config(sample_size=size)
        factors = preview_factors(vae, self.drawings, self.settings["data"]["size"])
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
            folder = Path(temporary) / "starter"
            shutil.copytree(self.start, folder)
            for name, network in (("unet", unet), ("vae", vae)):
                # diffusers' network.to would warn of float32 layers, of which there are none.
                torch.nn.Module.to(network, "cpu", torch.float16)
                network.save_pretrained(folder / name)
            (folder / "vae" / "latent_preview.json").write_text(json.dumps(factors))
            # Edges are finer when it sees a face a little larger than it learned to.
            size = str(self.settings["photo_parser"]["parsing_size"])
            write_network(self.photo_parser, "face_parser", folder, {"visage.input_size": size})
            write_network(self.photo_detector, "face_detector", folder, {})
            self._write_face_edit(folder)
            if (self.work / "adain.pt").exists():
                save_pair(self.photo_adain, folder / "adain" / "model.safetensors", overwrite=True)
            folder.rename(out)
        return out

    def _write_face_edit(self, folder: Path) -> None:
        """Write the unchanged face edit for the UNet that was trained with it."""
        unet_file = starter_file("unet", folder)
        metadata = self.face_edit.metadata | {
            "visage.base_sha256": hashlib.sha256(unet_file.read_bytes()).hexdigest()
        }
        path = starter_file("face_edit", folder)
        write_face_edit(path, self.face_edit.kv, self.face_edit.adapter, metadata, overwrite=True)


def read_paintings(folder: Path | None) -> list:
    """Read the pictures of a folder, uint8 [H, W, 3], at most MAX_PAINTING pixels long."""
    paintings = []
    for path in sorted(folder.iterdir()) if folder else ():
        if path.suffix.lower() in PICTURES:
            picture = read_picture(path)
            scale = min(1.0, MAX_PAINTING / max(picture.shape[:2]))
            paintings.append(
                cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            )
    return paintings
