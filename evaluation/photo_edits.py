"""Edits of photographs as a user makes them, judged by other people's networks.

Every figure has the number of pictures behind it and a 95 % interval (for fractions that of Wilson,
"Probable inference, the law of succession, and statistical inference", 1927; for others a
bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ..diffusion.interface import Engine
from ..engines.diffusers import DiffusersEngine
from ..models.face_edit import read_face_edit
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import STARTER, starter_file
from ..techniques.face_edit import FaceEditSettings, edit_faces
from ..techniques.lab import rgb_to_lab
from ..techniques.text_adapter import FaceAwareTextAdapter
from ..training.starter.photographs import Photograph, read_photographs
from .held_out import as_batch, as_pictures
from .photo_attributes import (
    ATTRIBUTES,
    PhotoJudge,
    five_points,
    judge_accuracy,
    people_without,
    prompt_for,
    train_photo_judge,
)
from .photo_faces import (
    SAME_FACE,
    SYNTHETIC,
    Box,
    FaceJudge,
    Portrait,
    held_out_portraits,
    measured_photographs,
    overlap,
    shrink,
    training_portraits,
)
from .realism import frechet_distance

# No prompt names skin. Each photograph gets the next prompt.
PROMPTS = (
    "a photo of a person with glasses",
    "a photo of a smiling person",
    "a photo of a young person",
    "a portrait of a person with blue eyes",
    "a close-up photo of a person",
    "a photo of an old person",
)
VAE_SIZE = 256
RESAMPLES = 1000

Editor = Callable[..., tuple[np.ndarray, np.ndarray]]
"""editor(picture uint8 [H, W, 3], prompt, seed[, parts]) -> edited picture, mask [H, W]."""


@dataclass(frozen=True)
class Figure:
    """A figure, the number of pictures behind it, and its 95 % interval."""

    value: float
    count: int
    low: float
    high: float


def photo_editor(parser: FaceParser, folder: Path = STARTER, denoise: float = 1.0) -> Editor:
    """The shipped face edit with the settings of the shipped workflow, except for `denoise`."""
    weights = read_face_edit(starter_file("face_edit", folder))
    engine = DiffusersEngine.load(folder, face_edit=weights)
    adapter = FaceAwareTextAdapter.from_weights(weights.adapter)

    def edit(
        image: np.ndarray, prompt: str, seed: int, parts: tuple[str, ...] = ("face",)
    ) -> tuple[np.ndarray, np.ndarray]:
        settings = FaceEditSettings(seed=seed, parts=parts, faces="largest", denoise=denoise)
        result = edit_faces(as_batch([image]), prompt, engine, parser, settings, adapter)
        return as_pictures(result.blended)[0], result.mask[0].numpy()

    return edit


@dataclass(frozen=True)
class Edit:
    """A photograph before and after, the mask of its face, and the judge's box before."""

    portrait: Portrait
    prompt: str
    edited: np.ndarray
    mask: np.ndarray
    box: Box | None
    box_after: Box | None


def edit_photographs(
    portraits: Sequence[Portrait],
    editor: Editor,
    judge: FaceJudge,
    progress: Callable[[int, int], None] | None = None,
) -> list[Edit]:
    """Edit each photograph with the next prompt; its number is the seed."""
    edits = []
    for number, portrait in enumerate(portraits):
        prompt = PROMPTS[number % len(PROMPTS)]
        edited, mask = editor(portrait.image, prompt, number)
        before = judge.faces(portrait.image)
        box = before[0] if before else None
        after = [b for b in judge.faces(edited) if box and overlap(b, box) >= SAME_FACE]
        edits.append(Edit(portrait, prompt, edited, mask, box, after[0] if after else None))
        if progress is not None:
            progress(number + 1, len(portraits))
    return edits


def face_found(edits: Sequence[Edit]) -> Figure:
    """The fraction of faces found by the judge before the edit that it finds after it.

    Pictures in which the parser found no face to edit do not count.
    """
    changed = [edit for edit in edits if edit.box is not None and edit.mask.any()]
    kept = [edit.box_after is not None for edit in changed]
    return fraction_of(sum(kept), len(kept))


def skin_shifts(edits: Sequence[Edit]) -> list[float]:
    """Distance in L*a*b* between the face's mean colours before and after each edit."""
    shifts = []
    for edit in edits:
        inside = edit.mask > 0.5
        if inside.any():
            before, after = (
                rgb_to_lab(torch.from_numpy(image[inside].mean(0) / 255).float())
                for image in (edit.portrait.image, edit.edited)
            )
            shifts.append(float((before - after).norm()))
    return shifts


def fraction_of(found: int, count: int) -> Figure:
    """A fraction with Wilson's interval; NaN if `count` is 0."""
    if count == 0:
        return Figure(float("nan"), 0, float("nan"), float("nan"))
    z, fraction = 1.959964, found / count
    middle = fraction + z**2 / (2 * count)
    reach = z * np.sqrt(fraction * (1 - fraction) / count + z**2 / (4 * count**2))
    low, high = ((middle + sign * reach) / (1 + z**2 / count) for sign in (-1, 1))
    return Figure(fraction, count, float(low), float(high))


def summary(values: Sequence[float], statistic: Callable = np.median) -> Figure:
    """A statistic of values with its bootstrap interval; NaN without values."""
    if not len(values):
        return Figure(float("nan"), 0, float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    values = np.asarray(values)
    drawn = rng.choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile([statistic(sample) for sample in drawn], (0.025, 0.975))
    return Figure(float(statistic(values)), len(values), float(low), float(high))


def whole_square(image: np.ndarray, size: int = VAE_SIZE) -> np.ndarray:
    """The middle square of a picture at `size` pixels."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)


def reconstruction(engine: Engine, pictures: Sequence[np.ndarray]) -> Figure:
    """Mean PSNR in dB of encoding and decoding whole photographs at 256 px."""
    found = []
    for picture in pictures:
        image = as_batch([whole_square(picture)])
        decoded = engine.decode(engine.encode(image)).clamp(0, 1)
        found.append(float(-10 * torch.log10((decoded - image).square().mean())))
    return summary(found, np.mean)


def _embeddings(judge: FaceJudge, images: Sequence[np.ndarray]) -> np.ndarray:
    found = [(image, judge.faces(image)) for image in images]
    return np.array([judge.embedding(image, boxes[0]) for image, boxes in found if boxes])


def fid_ratio(judge: FaceJudge, folder: Path, editor: Editor, count: int) -> Figure:
    """Frechet distance of painted faces to held-out ones, over that of held-out to training ones.

    The embedding is dlib's. Half of the held-out people are painted and compared with the others.
    Faces that the judge does not find are left out. The interval is from subsamples of the faces.
    """
    unseen = held_out_portraits(folder)
    painted, compared = unseen[::2][:count], unseen[1::2][:count]
    edited = [
        editor(portrait.image, PROMPTS[number % len(PROMPTS)], number)[0]
        for number, portrait in enumerate(painted)
    ]
    seen = [portrait.image for portrait in training_portraits(folder, len(compared))]
    sets = [
        _embeddings(judge, images)
        for images in (edited, [portrait.image for portrait in compared], seen)
    ]
    if min(map(len, sets)) < 3:
        return Figure(float("nan"), len(sets[0]), float("nan"), float("nan"))

    def ratio(painted: np.ndarray, compared: np.ndarray, seen: np.ndarray) -> float:
        return frechet_distance(painted, compared) / frechet_distance(compared, seen)

    rng = np.random.default_rng(0)
    # Sampled without replacement, since repeated faces would change the distance.
    parts = [
        ratio(*(part[rng.permutation(len(part))[: max(3, len(part) * 4 // 5)]] for part in sets))
        for _ in range(100)
    ]
    low, high = np.quantile(parts, (0.025, 0.975))
    return Figure(ratio(*sets), len(sets[0]), float(low), float(high))


def attribute_rates(
    editor: Editor, judge: PhotoJudge, photographs: Sequence[Photograph], count: int
) -> dict[str, tuple[int, int]]:
    """By attribute, the number of edited people on whom the judge finds it, and the number edited.

    Each attribute is tried on up to `count` held-out people without it."""
    rates = {}
    for name, attribute in ATTRIBUTES.items():
        people = people_without(attribute, photographs, count)
        found = 0
        for number, person in enumerate(people):
            image = shrink(person.image)
            prompt = prompt_for(attribute, person.labels)
            edited, _ = editor(image, prompt, number, (attribute.parts,))
            points = five_points(person) * (image.shape[0] / person.image.shape[0])
            found += judge(edited, points)[name]
        rates[name] = found, len(people)
    return rates


@dataclass(frozen=True)
class PhotoReport:
    """The figures; (found, tried) by attribute; the judge's balanced accuracy; and the edits."""

    figures: dict[str, Figure]
    attributes: dict[str, tuple[int, int]]
    judge_accuracy: dict[str, float]
    edits: list[Edit]


def photo_figures(
    folder: Path,
    count: int,
    starter: Path = STARTER,
    denoise: float = 1.0,
    say: Callable[[str], None] = lambda _: None,
) -> PhotoReport:
    """Measure every figure on the photographs of `folder`; the edits are returned, too.

    folder has the subfolders synthetic, people and headshots. `count` pictures are edited, and
    `count` / 10 people for each attribute. Raises FileNotFoundError or ValueError as
    `read_photographs`, and ModuleNotFoundError without the judge's packages.
    """
    judge = FaceJudge()
    unseen = read_photographs(folder / SYNTHETIC, "test")
    say("training the judge of attributes")
    attribute_judge = train_photo_judge(read_photographs(folder / SYNTHETIC, "train"))
    with torch.inference_mode():
        say(f"autoencoder: {len(unseen[:count])} held-out photographs")
        pictures = [photo.image for photo in unseen[:count]]
        figures = {"vae_psnr_photos": reconstruction(DiffusersEngine.load(starter), pictures)}
        parser = load_face_parser(starter_file("face_parser", starter))
        editor = photo_editor(parser, starter, denoise)
        say(f"edits: {count} photographs, denoise {denoise:g}")
        edits = edit_photographs(measured_photographs(folder, count), editor, judge)
        figures["photo_face_found"] = face_found(edits)
        figures["photo_skin_shift"] = summary(skin_shifts(edits))
        say("realism: held-out photographs with repainted faces")
        figures["photo_fid_ratio"] = fid_ratio(judge, folder, editor, count)
        say("prompts: held-out people with attributes that they lack")
        rates = attribute_rates(editor, attribute_judge, unseen, max(1, count // 10))
        found, tried = (sum(column) for column in zip(*rates.values(), strict=True))
        figures["photo_attribute_accuracy"] = fraction_of(found, tried)
        accuracy = judge_accuracy(attribute_judge, unseen)
    return PhotoReport(figures, rates, accuracy, edits)


def contact_sheet(edits: Sequence[Edit], columns: int = 4, size: int = 256) -> np.ndarray:
    """Originals with their edits to the right, uint8 [H, W, 3], `columns` pairs in a row."""
    pairs = [
        np.hstack([whole_square(edit.portrait.image, size), whole_square(edit.edited, size)])
        for edit in edits
    ]
    blank = np.full_like(pairs[0], 255)
    rows = [pairs[start : start + columns] for start in range(0, len(pairs), columns)]
    return np.vstack([np.hstack(row + [blank] * (columns - len(row))) for row in rows])
