"""Soft Mask, Crop Faces, Paste Faces, Pixel Blend and Recolour, run as ComfyUI runs them."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from visage.techniques.pixel_blend import BLENDS

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture
def mask():
    mask = torch.zeros(1, 96, 160)
    mask[:, 30:60, 20:50] = mask[:, 40:64, 100:130] = 1
    return mask


def test_soft_mask_grows_and_blurs(comfy, mask):
    from visage.nodes.soft_mask import VisageSoftMask

    (soft,) = VisageSoftMask.execute(mask, 2.0, 3).args
    assert soft[0, 45, 18] == pytest.approx(0.77, abs=0.05)
    assert torch.equal(VisageSoftMask.execute(mask, 0.0, 0).args[0], mask)


def test_soft_mask_measures_in_pixels_or_by_each_face(comfy, mask):
    from visage.nodes.soft_mask import VisageSoftMask

    saved_without = VisageSoftMask.execute(mask, 6.0, 0).args[0]
    assert torch.equal(VisageSoftMask.execute(mask, 6.0, 0, "pixels").args[0], saved_without)
    boxes = [[(20.0, 30.0, 30.0, 30.0), (100.0, 40.0, 30.0, 24.0)]]
    by_face = VisageSoftMask.execute(mask, 20.0, 0, "percent of face", boxes).args[0]
    assert torch.allclose(by_face[0, 45, :75], saved_without[0, 45, :75], atol=1e-6)
    assert not torch.equal(by_face, saved_without)


def test_faces_go_to_the_models_size_and_back(comfy, mask):
    from visage.nodes.crops import VisageCropFaces, VisagePasteFaces

    image = torch.rand(1, 96, 160, 3)
    images, masks, crops = VisageCropFaces.execute(image, mask, 64, 0.8).args
    assert images.shape == (2, 64, 64, 3) and masks.shape == (2, 64, 64)
    cached = crops.masks.clone()
    for _ in range(2):  # a second run takes the crops from ComfyUI's cache
        (pasted,) = VisagePasteFaces.execute(1 - images, crops, image).args
        assert torch.equal(pasted[:, :, 62:85], image[:, :, 62:85])
        assert not torch.equal(pasted[:, 30:60, 20:50], image[:, 30:60, 20:50])
    assert torch.equal(crops.masks, cached)


def test_size_0_takes_the_models_own(comfy, mask):
    from types import SimpleNamespace

    from visage.nodes.crops import VisageCropFaces

    image, model = torch.rand(1, 96, 160, 3), SimpleNamespace(get_attachment=lambda key: 48)
    images = VisageCropFaces.execute(image, mask, 0, 0.8, model=model).args[0]
    assert images.shape[1:] == (48, 48, 3)
    with pytest.raises(ValueError, match="no model is connected"):
        VisageCropFaces.execute(image, mask, 0, 0.8)


def test_boxes_may_be_connected(comfy, mask):
    from visage.nodes.crops import VisageCropFaces

    images, _, _ = VisageCropFaces.execute(
        torch.rand(1, 96, 160, 3), mask, 64, 0.8, [[(90.0, 30.0, 50.0, 40.0)]]
    ).args
    assert len(images) == 1


@pytest.mark.parametrize("tone_match", ["off", "lab ring"])
@pytest.mark.parametrize("mode", BLENDS)
def test_blend_leaves_the_background_and_shows_the_proof(comfy, mask, mode, tone_match):
    from visage.nodes.pixel_blend import VisagePixelBlend

    original, edited = torch.rand(2, 96, 160, 3), torch.rand(2, 96, 160, 3)
    output = VisagePixelBlend.execute(edited, original, mask, mode, tone_match)
    image, proof, report = output.args
    outside = mask[0] == 0
    assert torch.equal(image[:, outside], original[:, outside])
    assert output.ui["text"] == [proof] and output.ui["untouched"] == [True, True]
    assert len(output.ui["a_images"]) == len(output.ui["b_images"]) == 2
    assert json.loads(report)["outside_max_abs_diff"] == 0


def test_blend_shows_large_pictures_small(comfy):
    import folder_paths
    from visage.nodes.compare import SHOWN
    from visage.nodes.pixel_blend import VisagePixelBlend

    picture = torch.rand(1, 40, 2 * SHOWN, 3)
    output = VisagePixelBlend.execute(
        picture, picture, torch.zeros(1, 40, 2 * SHOWN), "linear", "off"
    )
    (shown,) = output.ui["b_images"]
    folder = Path(folder_paths.get_temp_directory()) / shown["subfolder"]
    with Image.open(folder / shown["filename"]) as preview:
        assert preview.size == (SHOWN, 20)
    assert output.args[0].shape == picture.shape


def test_blend_can_be_interrupted_between_pictures(comfy, mask):
    import comfy.utils
    from visage.nodes.pixel_blend import VisagePixelBlend

    class Interrupted(Exception):
        pass

    def interrupt(value, total, preview, node_id=None):
        assert (value, total) == (1, 3)
        raise Interrupted

    hook = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(interrupt)
    picture = torch.rand(3, 96, 160, 3)
    try:
        with pytest.raises(Interrupted):
            VisagePixelBlend.execute(picture, picture, mask, "poisson", "off")
    finally:
        comfy.utils.set_progress_bar_global_hook(hook)


def test_recolour_gives_a_part_the_colour_and_shows_its_proof(comfy):
    from visage.nodes.recolour import VisageRecolour

    picture, part = torch.full((1, 64, 64, 3), 0.5), torch.zeros(1, 64, 64)
    part[:, 16:48, 16:48] = 1
    output = VisageRecolour.execute(picture, part, "#336699", 1.0)
    image, proof = output.args
    assert torch.allclose(image[0, 32, 32], torch.tensor([0.2, 0.4, 0.6]), atol=0.02)
    assert torch.equal(image[:, :16], picture[:, :16])
    assert output.ui["text"] == [proof] and output.ui["untouched"] == [True]


@pytest.mark.parametrize(("colour", "valid"), [("teal", True), (None, True), ("rust", False)])
def test_recolour_refuses_a_colour_before_the_run(comfy, colour, valid):
    from visage.nodes.recolour import VisageRecolour

    said = VisageRecolour.validate_inputs(colour)
    assert (said is True) == valid
    assert valid or 'colour is "rust"; expected' in said
