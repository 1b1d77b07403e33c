"""Small datasets in each layout, and a model with random weights to train on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from visage.world.export import ATTRIBUTE_FILE, IMAGES, MASKS

SIZE = 64


def draw_face(index: int, height: int = SIZE, width: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 [height, width, 3] and its mask, an ellipse left of the middle."""
    y, x = np.mgrid[:height, :width]
    mask = ((x - width * 0.4) / (width * 0.2)) ** 2 + ((y - height / 2) / (height * 0.3)) ** 2 < 1
    picture = np.random.default_rng(index).integers(0, 90, (height, width, 3), dtype=np.uint8)
    picture[mask] += np.uint8(120 + 4 * (index % 20))
    return picture, mask.astype(np.uint8) * 255


@pytest.fixture(scope="session")
def write_pairs():
    """Fills a folder with pictures, masks and captions."""

    def write(folder: Path, count: int = 6) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture, mask = draw_face(index)
            Image.fromarray(picture).save(folder / f"face{index}.png")
            Image.fromarray(mask).save(folder / f"face{index}.mask.png")
            caption = f"a photo of a woman, number {index}\na face\n"
            (folder / f"face{index}.txt").write_text(caption, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def pairs(write_pairs, tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs")


@pytest.fixture
def celeba(tmp_path) -> Path:
    """Three pictures in CelebAMask-HQ's layout; the masks are half as large, as published."""
    (tmp_path / IMAGES).mkdir()
    (tmp_path / MASKS / "0").mkdir(parents=True)
    for index in range(3):
        picture, mask = draw_face(index)
        Image.fromarray(picture).save(tmp_path / IMAGES / f"{index}.jpg")
        for part in ("skin", "hair"):
            shown = mask[::2, ::2] if part == "skin" else 255 - mask[::2, ::2]
            Image.fromarray(shown).save(tmp_path / MASKS / "0" / f"{index:05}_{part}.png")
    rows = ["3", "Eyeglasses Male Smiling", "0.jpg  1 -1  1", "1.jpg -1  1 -1", "2.jpg -1 -1 -1"]
    (tmp_path / ATTRIBUTE_FILE).write_text("\n".join(rows) + "\n")
    return tmp_path
