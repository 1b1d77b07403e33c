"""Clips without flicker, and the optical flow behind them."""

import pytest
import torch
from visage.techniques.neural_style import NeuralStyle, StylePicture
from visage.techniques.optical_flow import flow_to_before, moved, steadied, warping_error
from visage.techniques.patch_painting import PatchPainter
from visage.techniques.style_clip import paint_batch
from visage.techniques.style_patches import PatchSearch

PAINTER = PatchPainter(steps=2, search=PatchSearch(patch=5, samples=300, axes=12))
SETTINGS = NeuralStyle(coarsest=0.5)


@pytest.fixture(scope="module")
def frames(photograph):
    """A window that moves 3 px to the right over a photograph, with a little noise of its own."""
    picture = photograph("astronaut")[::2, ::2]
    generator = torch.Generator().manual_seed(0)
    cut = torch.stack([picture[40:136, 60 + 3 * k : 156 + 3 * k] for k in range(4)])
    return (cut + 0.02 * torch.randn(cut.shape, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="module")
def style(photograph):
    return StylePicture(photograph("coffee")[::3, ::3])


def test_flow_finds_how_far_things_moved(frames):
    flow, trusted = flow_to_before(frames[1], frames[0])
    middle = flow[20:-20, 20:-20]
    assert middle[..., 0].median() == pytest.approx(3, abs=0.3)
    assert middle[..., 1].median() == pytest.approx(0, abs=0.3)
    assert trusted.mean() > 0.7


def test_moved_reads_at_the_flows_end():
    picture = torch.rand(8, 10, 3)
    flow = torch.zeros(8, 10, 2)
    flow[..., 0] = 2
    assert torch.allclose(moved(picture, flow)[:, :8], picture[:, 2:], atol=1e-5)


def test_what_shows_the_same_is_drawn_to_the_frame_before(frames):
    noise = 0.2 * torch.rand(2, *frames.shape[1:], generator=torch.Generator().manual_seed(0))
    painted = (frames[:2] + noise).clamp(0, 1)
    steady = torch.stack([painted[0], steadied(painted[1], frames[1], painted[0], frames[0])])
    assert warping_error(steady, frames[:2]) < 0.6 * warping_error(painted, frames[:2])


def test_a_picture_of_something_else_is_left_alone(frames):
    # Flow can be found between any two pictures; here their colours differ everywhere.
    shown, other = frames[0] * 0.4, frames[0] * 0.4 + 0.5
    painted = torch.rand_like(shown)
    assert torch.equal(steadied(painted, shown, torch.zeros_like(painted), other), painted)


def test_a_clip_flickers_less_than_single_pictures(frames, style):
    clip, _ = paint_batch(frames, [style], PAINTER, SETTINGS)
    single, _ = paint_batch(frames, [style], PAINTER, SETTINGS, is_clip=False)
    assert clip.shape == frames.shape
    assert warping_error(clip, frames) < 0.7 * warping_error(single, frames)


def test_pictures_of_a_batch_are_the_pictures_alone(frames, style):
    together, _ = paint_batch(frames[:2], [style], PAINTER, SETTINGS, is_clip=False)
    alone, _ = paint_batch(frames[1:2], [style], PAINTER, SETTINGS, is_clip=False)
    assert torch.equal(together[1], alone[0])


def test_ended_early_the_other_frames_stay(frames, style):
    def stop(frame, done, total, picture, loss):
        return frame == 1

    painted, _ = paint_batch(frames, [style], PAINTER, SETTINGS, progress=stop)
    assert torch.equal(painted[2:], frames[2:])
    assert not torch.equal(painted[0], frames[0])


def test_masks_are_one_or_one_each(frames, style):
    with pytest.raises(ValueError, match="3 masks for 4 frames"):
        paint_batch(frames, [style], PAINTER, SETTINGS, keep=torch.ones(3, 96, 96))
