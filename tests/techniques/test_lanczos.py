"""Lanczos resampling."""

import numpy as np
import pytest
import torch
from PIL import Image
from visage.techniques.lanczos import reached, resize


@pytest.mark.parametrize("size", [(40, 90), (7, 11), (33, 20)])
def test_gives_pillows_numbers(size):
    plane = np.random.default_rng(0).random((33, 47), dtype=np.float32)
    expected = Image.fromarray(plane).resize(size[::-1], Image.Resampling.LANCZOS)
    resized = resize(torch.from_numpy(plane)[None, ..., None].expand(-1, -1, -1, 3), *size)
    assert resized.shape == (1, *size, 3)
    assert np.allclose(resized[0, ..., 1], np.asarray(expected).clip(0, 1), atol=1e-5)


def test_its_own_size_is_the_identity():
    image = torch.rand(2, 5, 6, 3)
    assert resize(image, 5, 6) is image


@pytest.mark.parametrize("size", [(64, 64), (16, 20), (7, 100)])
def test_knows_how_far_a_pixel_reaches(size):
    image = torch.full((1, 32, 32, 1), 0.5)
    pixels = torch.zeros(32, 32, dtype=torch.bool)
    pixels[20, 3] = True
    changed = image.clone()
    changed[0, pixels] = 0.9
    moved = (resize(changed, *size) != resize(image, *size))[0, ..., 0]
    told = reached(pixels, *size)
    assert moved.any() and not (moved & ~told).any()
    assert told.float().mean() < 0.5
