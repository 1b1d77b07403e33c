"""The whole chain: faces are edited, and everything else is the original, bit for bit."""

from dataclasses import replace

import pytest
import torch
from visage.engines.diffusers import DiffusersEngine
from visage.techniques.face_edit import FaceEditSettings, edit_faces
from visage.techniques.text_adapter import FaceAwareTextAdapter

FAST = FaceEditSettings(steps=2, size=64)
PROMPT = "a face with red hair"


@pytest.fixture(scope="module")
def engine(random_starter):
    return DiffusersEngine.load(random_starter)


@pytest.fixture
def two_faces(paint):
    """A picture [1, 200, 360, 3] with a large and a small face, and noise all over."""
    image, _ = paint(200, 360, [(90, 90, 110), (280, 100, 70)])
    grain = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    return (image * 0.98 + 0.02 * grain).unsqueeze(0)


@pytest.fixture
def one_face(paint):
    """A small picture [1, 96, 96, 3]."""
    return paint(96, 96, [(48, 44, 64)])[0].unsqueeze(0)


def test_without_a_size_crops_have_the_models_own(engine, parser, one_face):
    chosen, own = (
        edit_faces(one_face, PROMPT, engine, parser, replace(FAST, size=size)).blended
        for size in (engine.native_size, 0)
    )
    assert torch.equal(chosen, own)


def test_faces_change_and_nothing_else_does(engine, parser, two_faces):
    result = edit_faces(two_faces, PROMPT, engine, parser, FAST)
    outside = result.soft_mask == 0
    assert torch.equal(result.blended[outside], two_faces[outside])
    changed = (result.blended - two_faces).abs().amax(-1) > 0.02
    assert changed[:, :, :180].any() and changed[:, :, 180:].any()
    assert result.proof.pictures[0].outside_max_abs_diff == 0
    assert 0 < result.mask.mean() < result.soft_mask.gt(0).float().mean() < 0.5


def test_the_same_seed_gives_the_same_picture(engine, parser, one_face):
    first, again, other = (
        edit_faces(one_face, PROMPT, engine, parser, replace(FAST, seed=seed)).blended
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_face_of_two_is_edited(engine, parser, two_faces):
    settings = replace(FAST, faces="index", face_index=1)
    result = edit_faces(two_faces, PROMPT, engine, parser, settings)
    assert torch.equal(result.blended[:, :, :160], two_faces[:, :, :160])
    assert not torch.equal(result.blended[:, :, 200:], two_faces[:, :, 200:])


def test_a_picture_without_a_face_comes_back_as_it_was(engine, parser):
    image = torch.rand(1, 96, 80, 3) * 0.02
    result = edit_faces(image, PROMPT, engine, parser, FAST)
    assert torch.equal(result.blended, image)
    assert not result.mask.any()


def test_a_batch_with_and_without_faces(engine, parser, two_faces):
    pictures = torch.cat((torch.zeros_like(two_faces), two_faces))
    result = edit_faces(pictures, PROMPT, engine, parser, FAST)
    assert torch.equal(result.blended[0], pictures[0])
    assert not torch.equal(result.blended[1], pictures[1])


def test_alpha_and_odd_sides_are_kept(engine, parser, two_faces):
    image = torch.cat((two_faces, torch.rand(1, 200, 360, 1)), dim=-1)[:, :197, :355]
    result = edit_faces(image, PROMPT, engine, parser, FAST)
    assert result.blended.shape == image.shape
    assert torch.equal(result.blended[..., 3], image[..., 3])


def test_gray_pictures_are_edited_in_colour(engine, parser):
    result = edit_faces(torch.zeros(1, 64, 64, 1), PROMPT, engine, parser, FAST)
    assert result.blended.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("noise_mask", ["soft", "hard", "none"])
@pytest.mark.parametrize("mask_mode", ["soft", "hard"])
def test_masks_may_be_soft_or_hard(mask_mode, noise_mask, engine, parser, one_face):
    settings = replace(FAST, mask_mode=mask_mode, noise_mask=noise_mask)
    result = edit_faces(one_face, PROMPT, engine, parser, settings)
    assert result.proof.pictures[0].outside_max_abs_diff == 0


def test_the_adapter_acts_by_its_strength(engine, parser, one_face):
    adapter = FaceAwareTextAdapter(engine.width)
    torch.nn.init.normal_(adapter.w2.weight)
    plain = edit_faces(one_face, PROMPT, engine, parser, FAST).edited
    off = replace(FAST, adapter_strength=0.0)
    assert torch.equal(edit_faces(one_face, PROMPT, engine, parser, off, adapter).edited, plain)
    assert not torch.equal(
        edit_faces(one_face, PROMPT, engine, parser, FAST, adapter).edited, plain
    )


def test_progress_is_told_and_may_stop_the_run(engine, parser, one_face):
    seen = []

    def progress(done, steps):
        seen.append((done, steps))
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        edit_faces(one_face, PROMPT, engine, parser, replace(FAST, steps=5), progress=progress)
    assert seen == [(1, 5), (2, 5)]


def test_the_nodes_give_the_same_picture(comfy_nodes, random_starter, engine, parser, two_faces):
    """The workflow's nodes, wired by hand and run with ComfyUI's own sampler."""
    from visage.engines.comfyui.starter import load_starter
    from visage.nodes.crops import VisageCropFaces, VisagePasteFaces
    from visage.nodes.face_edit import VisageFaceAwareText, VisageSoftInpaint
    from visage.nodes.face_mask import VisageFaceMask
    from visage.nodes.pixel_blend import VisagePixelBlend
    from visage.nodes.soft_mask import VisageSoftMask

    adapter = FaceAwareTextAdapter(engine.width)
    torch.nn.init.normal_(adapter.w2.weight, std=0.1)
    with torch.inference_mode():
        model, clip, vae = load_starter(random_starter)
        mask, _, boxes, *_ = VisageFaceMask.execute(
            two_faces, parser, ["face"], "all", 0, "binary", True, True, "empty mask"
        ).args
        (soft_mask,) = VisageSoftMask.execute(mask, FAST.sigma, FAST.grow, FAST.unit, boxes).args
        images, masks, crops = VisageCropFaces.execute(
            two_faces, soft_mask, FAST.size, FAST.context, boxes
        ).args
        encode = comfy_nodes.CLIPTextEncode().encode
        (positive,) = VisageFaceAwareText.execute(
            encode(clip, PROMPT)[0], mask, adapter, 0.3, crops
        ).args
        positive, negative, latent = VisageSoftInpaint.execute(
            positive, encode(clip, "")[0], vae, images, masks, "soft", "soft"
        ).args
        (latent,) = comfy_nodes.KSampler().sample(
            model, 0, FAST.steps, 5.0, "euler", "normal", positive, negative, latent, 1.0
        )
        (edited,) = VisagePasteFaces.execute(
            comfy_nodes.VAEDecode().decode(vae, latent)[0], crops, two_faces
        ).args
        result = VisagePixelBlend.execute(edited, two_faces, soft_mask, "linear", "off").args[0]
    ours = edit_faces(two_faces, PROMPT, engine, parser, FAST, adapter).blended
    assert (ours - result).abs().max() < 1e-3
    assert (ours - two_faces).abs().max() > 0.1
