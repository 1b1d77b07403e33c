"""How good the starter models are, on people and pictures that no training stage has seen.

Figures from the starter world say something about the starter world only.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..engines.diffusers import DiffusersEngine
from ..models.face_classes import CLASSES, PRESETS
from ..models.face_parser import FaceParser, load_face_parser
from ..models.starter_files import STARTER, starter_file
from ..techniques.face_edit import FaceEditSettings, edit_faces
from ..training.world import portrait

SIZE = 128
# In colour, bundled with scikit-image, not among the recipe's training photographs.
HELD_OUT_PHOTOGRAPHS = ("astronaut", "coffee")
GLASSES = CLASSES.index("glasses")


def _portraits(count: int, size: int) -> list:
    return [portrait(index, size=size, split="test") for index in range(count)]


def _as_batch(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255


def parser_figures(parser: FaceParser, count: int) -> dict[str, float]:
    """Mean IoU over the 19 classes, and IoU of the union "face", over `count` portraits."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for picture in _portraits(count, parser.input_size):
        found = parser.probabilities(_as_batch([picture.image]))[0].argmax(0).numpy()
        pairs = picture.labels.astype(np.int64) * len(CLASSES) + found
        confusion += np.bincount(pairs.ravel(), minlength=confusion.size).reshape(confusion.shape)
    face = [CLASSES.index(name) for name in PRESETS["face"]]
    return {
        "parser_miou": float(np.mean([_iou(confusion, [c]) for c in range(len(CLASSES))])),
        "parser_face_iou": _iou(confusion, face),
    }


def _iou(confusion: np.ndarray, classes: list[int]) -> float:
    both = confusion[np.ix_(classes, classes)].sum()
    return float(both / (confusion[classes].sum() + confusion[:, classes].sum() - both))


def _psnr(first: Tensor, second: Tensor) -> float:
    return float(-10 * torch.log10((first - second).square().mean()))


def vae_figures(engine: DiffusersEngine, count: int) -> dict[str, float]:
    """Mean PSNR in dB of encoding and decoding portraits and pieces of photographs, 128 px."""
    import skimage.data

    faces = [picture.image for picture in _portraits(count, SIZE)]
    photographs = []
    for name in HELD_OUT_PHOTOGRAPHS:
        picture = getattr(skimage.data, name)()
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        rows, columns = (range(0, side - SIZE + 1, SIZE // 2) for side in picture.shape[:2])
        photographs += [picture[y : y + SIZE, x : x + SIZE] for y in rows for x in columns]
    figures = {}
    for name, pictures in (("vae_psnr_faces", faces), ("vae_psnr_photos", photographs)):
        values = []
        for picture in pictures:
            image = _as_batch([picture])
            values.append(_psnr(engine.decode(engine.encode(image)).clamp(0, 1), image))
        figures[name] = float(np.mean(values))
    return figures


def glasses_figures(engine: DiffusersEngine, parser: FaceParser, count: int) -> dict[str, float]:
    """How often an edited face wears glasses when the prompt asks for them, and when it does not.

    The face parser judges; the portraits wear none before the edit.
    """
    rates = {}
    bare = [p for p in _portraits(3 * count, SIZE) if not (p.labels == GLASSES).any()][:count]
    for name, words in (("prompt_glasses", " with glasses"), ("no_prompt_glasses", "")):
        seen = 0
        for number, person in enumerate(bare):
            prompt = f"a photo of a {person.traits['sex']}{words}"
            settings = FaceEditSettings(seed=number, sigma=2.0, grow=3)
            result = edit_faces(_as_batch([person.image]), prompt, engine, parser, settings)
            glasses = parser.probabilities(result.blended)[0, GLASSES]
            seen += bool((glasses > 0.5).float().mean() > 0.004)
        rates[f"{name}_rate"] = seen / len(bare)
    return rates


def size_in_mib(folder: Path = STARTER) -> float:
    """The size of all starter files together, in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


@torch.inference_mode()
def evaluate(quick: bool = False) -> dict[str, float]:
    """Every figure by name; quick takes a small sample."""
    count = 24 if quick else 300
    engine = DiffusersEngine.load()
    parser = load_face_parser(starter_file("face_parser"))
    return {
        **parser_figures(parser, count),
        **vae_figures(engine, count),
        **glasses_figures(engine, parser, count // 6),
        "total_mib": size_in_mib(),
    }
