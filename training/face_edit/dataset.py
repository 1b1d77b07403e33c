"""Training pictures on disk: CelebAMask-HQ as it is published, the renderer's export (the same
layout), or any folder of pictures with captions beside them.

Such a folder holds NAME.png (or .jpg, .jpeg, .webp), NAME.txt with one caption on each line and,
optionally, the mask NAME.mask.png or masks/NAME.png. Without a mask the face parser makes one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.face_classes import CLASSES, expand_parts
from ...models.face_parser import FaceParser
from ...models.picture_files import BadPicture, read_mask, read_picture
from ...techniques.face_mask import face_mask
from ...world.export import (
    ATTRIBUTE_FILE,
    CAPTION_FILE,
    IMAGES,
    MASKS,
    MASKS_PER_FOLDER,
    PARTS,
)
from .captions import write_captions

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# The classes by their names in CelebAMask-HQ's files.
_FILE_NAMES = dict(zip(CLASSES[1:], PARTS, strict=True))


class BadExample(ValueError):
    """An example cannot be used; the message is one line that names its file."""


@dataclass(frozen=True)
class Example:
    """A picture on disk: its name, file, mask files and captions.

    Without mask files the face parser makes the mask. A problem that is not empty says why the
    example cannot be used.
    """

    name: str
    image: Path
    masks: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    problem: str = ""

    def content_key(self, settings: str) -> str:
        """SHA-256 of the files' contents and of the settings that the latents depend on."""
        digest = hashlib.sha256(settings.encode())
        for file in (self.image, *self.masks):
            digest.update(hashlib.sha256(_read_bytes(file)).digest())
        return digest.hexdigest()


def read_dataset(folder: Path, parts: Iterable[str] = ("face",)) -> list[Example]:
    """Read the examples of a folder of either layout, in the order of their names.

    Raises FileNotFoundError when the folder does not exist, and ValueError when it holds no
    pictures or, in CelebAMask-HQ's layout, neither captions nor attributes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give one with training pictures.")
    celeba = (folder / IMAGES).is_dir()
    pictures = folder / IMAGES if celeba else folder
    images = [
        path
        for path in pictures.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.stem.endswith(".mask")
    ]
    if not images:
        raise ValueError(
            f"{pictures} holds no pictures ({', '.join(SUFFIXES)}). A dataset is a folder of "
            f"pictures with .txt captions, or has CelebAMask-HQ's folders {IMAGES} and {MASKS}."
        )
    images.sort(key=lambda path: (len(path.stem), path.stem) if celeba else path.stem)
    if celeba:
        return _read_celeba(folder, images, expand_parts(parts))
    return [_read_pair(path) for path in images]


def split_dataset(
    examples: list[Example], evaluation_share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Split examples into those for training and those for evaluation, alike on every machine.

    They are ordered by the hashes of their names, without a random number generator.
    """

    def rank(example: Example) -> bytes:
        return hashlib.sha256(f"{seed} {example.name}".encode()).digest()

    shuffled = sorted(examples, key=rank)
    evaluation = round(len(examples) * evaluation_share)
    return shuffled[evaluation:], shuffled[:evaluation]


def load_example(
    example: Example, size: int, parts: Iterable[str], parser: FaceParser | None
) -> tuple[Tensor, Tensor]:
    """Load a picture [size, size, 3] in 0..1 and its binary mask [size, size].

    A picture that is not square is cropped to a square around the mask. Raises BadExample.
    """
    if example.problem:
        raise BadExample(example.problem)
    try:
        pixels = np.array(read_picture(example.image))
    except (BadPicture, OSError) as error:
        raise BadExample(str(error)) from error
    image = torch.from_numpy(pixels).float().movedim(-1, 0)[None] / 255
    height, width = image.shape[-2:]
    if example.masks:
        mask = torch.zeros(1, 1, height, width)
        for file in example.masks:
            mask = torch.maximum(mask, _read_mask(file, height, width, example.image))
    elif parser is None:
        raise BadExample(
            f"{example.image}: there is no mask beside it ({example.image.stem}.mask.png), and no "
            "face parser to make one"
        )
    else:
        found = face_mask(image.movedim(1, -1), parser, parts, which="largest")
        mask = found.mask[:, None]
    if not (mask > 0.5).any():
        where = ", ".join(str(file) for file in example.masks) or example.image
        raise BadExample(f"{where}: no face in it, the mask is empty")
    image, mask = _square(torch.cat((image, mask), dim=1)).split((3, 1), dim=1)
    image = F.interpolate(image, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
    mask = F.interpolate(mask, (size, size), mode="bilinear", antialias=True)
    return image[0].movedim(0, -1), (mask[0, 0] > 0.5).float()


def _read_celeba(folder: Path, images: list[Path], parts: frozenset[str]) -> list[Example]:
    captions = _celeba_captions(folder)
    wanted = [_FILE_NAMES[name] for name in CLASSES[1:] if name in parts]
    examples = []
    for path in images:
        problem, masks = "", ()
        if not path.stem.isdigit():
            problem = f"{path}: CelebAMask-HQ's pictures are named by numbers"
        else:
            index = int(path.stem)
            place = folder / MASKS / str(index // MASKS_PER_FOLDER)
            files = [place / f"{index:05d}_{part}.png" for part in wanted]
            masks = tuple(file for file in files if file.is_file())
            if not masks:
                problem = f"{files[0]}: this mask of {path.name} is missing, like its other parts"
            elif path.name not in captions:
                problem = f"{path}: neither {CAPTION_FILE} nor {ATTRIBUTE_FILE} names it"
        texts = tuple(captions.get(path.name, ()))
        examples.append(Example(path.stem, path, masks, texts, problem))
    return examples


def _celeba_captions(folder: Path) -> dict[str, list[str]]:
    """Captions by picture: the renderer's own if it wrote them, else made of the attributes."""
    written, attributes = folder / CAPTION_FILE, folder / ATTRIBUTE_FILE
    if written.is_file():
        records = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
        return {Path(record["image"]).name: record["captions"] for record in records}
    if not attributes.is_file():
        raise ValueError(
            f"{folder} has neither {ATTRIBUTE_FILE} nor {CAPTION_FILE}, so its pictures have no "
            "captions. The attribute file is part of CelebAMask-HQ."
        )
    _, names, *rows = attributes.read_text(encoding="utf-8").splitlines()
    names, found = names.split(), {}
    for row in filter(None, rows):
        file, *flags = row.split()
        if len(flags) != len(names):
            raise ValueError(
                f"{attributes}: the line of {file} has {len(flags)} flags for {len(names)} names."
            )
        shown = {name for name, flag in zip(names, flags, strict=True) if flag == "1"}
        found[file] = write_captions(shown, Path(file).stem)
    return found


def _read_pair(path: Path) -> Example:
    text = path.with_suffix(".txt")
    places = (path.with_name(f"{path.stem}.mask.png"), path.parent / "masks" / f"{path.stem}.png")
    masks = tuple(place for place in places if place.is_file())[:1]
    try:
        captions = _read_captions(text)
    except BadExample as error:
        return Example(path.stem, path, masks, problem=str(error))
    return Example(path.stem, path, masks, captions)


def _read_captions(path: Path) -> tuple[str, ...]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadExample(f"{path}: the caption is missing") from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadExample(
            f"{path}: not UTF-8 (byte {content[error.start]:#04x} at {error.start}); save it as "
            "UTF-8"
        ) from None
    captions = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not captions:
        raise BadExample(f"{path}: the caption is empty")
    return captions


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadExample(f"{path}: cannot be read ({error.strerror})") from error


def _read_mask(path: Path, height: int, width: int, image: Path) -> Tensor:
    """Read a mask file as [1, 1, height, width]; its size may differ, its aspect ratio may not."""
    try:
        mask = torch.from_numpy(read_mask(path))[None, None]
    except (BadPicture, OSError) as error:
        raise BadExample(str(error)) from error
    rows, columns = mask.shape[-2:]
    if abs(rows * width - columns * height) > 0.01 * rows * width:
        raise BadExample(
            f"{path}: the mask has {columns} x {rows} pixels and {image.name} has "
            f"{width} x {height}"
        )
    if (rows, columns) == (height, width):
        return mask
    return F.interpolate(mask, (height, width), mode="bilinear", antialias=True)


def _square(planes: Tensor) -> Tensor:
    """The largest square of planes [1, 4, H, W] around the centre of the last one, the mask."""
    height, width = planes.shape[-2:]
    side = min(height, width)
    rows, columns = (planes[0, -1] > 0.5).nonzero(as_tuple=True)
    top = int((rows.min() + rows.max() + 1 - side) // 2)
    left = int((columns.min() + columns.max() + 1 - side) // 2)
    top, left = max(0, min(top, height - side)), max(0, min(left, width - side))
    return planes[..., top : top + side, left : left + side]
