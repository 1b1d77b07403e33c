"""Compare, run as ComfyUI runs it: pictures that the slider shows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def node(comfy_nodes):
    from visage.nodes.compare import VisageCompare

    return VisageCompare


def picture(shown: dict) -> Image.Image:
    import folder_paths

    assert shown["type"] == "temp"
    path = Path(folder_paths.get_temp_directory()) / shown["subfolder"] / shown["filename"]
    with Image.open(path) as file:
        file.load()
    return file


def test_saves_each_pair_and_the_names(node):
    before, after = torch.rand(2, 24, 40, 3), torch.rand(2, 24, 40, 3)
    shown = node.execute(before, after, "photograph", "painting").ui
    assert shown["labels"] == ["photograph", "painting"]
    for saved, images in ((shown["a_images"], before), (shown["b_images"], after)):
        assert len(saved) == 2
        for file, image in zip(saved, images, strict=True):
            assert np.abs(np.asarray(picture(file)) / 255 - image.numpy()).max() < 1 / 255


def test_one_picture_is_compared_with_all_of_a_batch(node):
    shown = node.execute(torch.rand(3, 8, 8, 3), torch.rand(1, 16, 16, 4), "a", "b").ui
    assert (len(shown["a_images"]), len(shown["b_images"])) == (3, 1)
    assert picture(shown["b_images"][0]).mode == "RGBA"


def test_batches_that_do_not_pair_are_named(node):
    with pytest.raises(ValueError, match="before.*3.*after.*2"):
        node.execute(torch.rand(3, 8, 8, 3), torch.rand(2, 8, 8, 3), "a", "b")
