"""Query-preserving transfer: which latents are read, what is attended to, what a guard changes."""

import pytest
import torch
from visage.diffusion.ddim import sampling_grid
from visage.diffusion.self_attention import attention, style_attentions
from visage.diffusion.taps import Attention
from visage.techniques.ddim_inversion import Trajectory, invert, reconstruct
from visage.techniques.identity_guard import IdentityGuard
from visage.techniques.latent_adain import channel_statistics
from visage.techniques.query_preserving import QueryPreserving, transfer_style, transfer_taps

STEPS = 5


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def trajectory():
    """Random latents of a run, the clean one last."""
    return lambda *shape, seed=0, steps=STEPS: Trajectory(
        tuple(sampling_grid(steps)), noise(steps + 1, *shape, seed=seed)
    )


@pytest.fixture
def run(toy_branch):
    def run(content, style, guard=None, progress=None, **settings):
        return transfer_style(
            content, style, toy_branch, toy_branch, toy_branch.alphas, toy_branch.layers,
            QueryPreserving(**settings), guard, progress,
        )  # fmt: skip

    return run


def test_layers_are_the_upper_two_thirds_of_those_with_attention():
    assert [layer for layer, _ in style_attentions(range(3, 12))] == list(range(6, 12))
    assert [layer for layer, _ in style_attentions(range(6))] == [3, 4, 5]
    assert style_attentions([9]) == [Attention(9, "self")]


def test_both_pictures_are_read_at_the_steps_own_noise_level(run, toy_branch, trajectory):
    content, style = trajectory(1, 4, 6, 8), trajectory(1, 4, 5, 7, seed=1)
    run(content, style)
    for step, timestep in enumerate(sampling_grid(STEPS)):
        asked = toy_branch.asked[3 * step : 3 * step + 3]
        assert [when for when, _ in asked] == [timestep] * 3
        assert torch.equal(asked[0][1], content.latents[step])
        assert torch.equal(asked[1][1], style.latents[step])


def test_the_run_starts_from_the_contents_noise_in_the_styles_statistics(
    run, toy_branch, trajectory
):
    content, style = trajectory(1, 4, 6, 8), trajectory(1, 4, 5, 7, seed=1)
    for fraction, expected in ((1.0, style), (0.0, content)):
        toy_branch.asked.clear()
        run(content, style, adain=fraction)
        first = toy_branch.asked[2][1]
        for own, other in zip(
            channel_statistics(first), channel_statistics(expected.latents[0]), strict=True
        ):
            assert torch.allclose(own, other, atol=1e-4)
    assert torch.equal(first, content.latents[0])


def test_queries_are_mixed_and_keys_and_values_are_the_styles():
    place = (Attention(9, "self"), 0)
    q, content_q, keys, values = (noise(2, 6, 8, seed=seed) for seed in range(4))

    def attend(q, k, v):
        return attention(q, k, v, 2)

    asked = {place: (content_q, keys, values)}
    taps = transfer_taps(asked, {place: (q, keys[:1], values[:1])}, QueryPreserving(0.6, 2.0), None)
    out = taps.attentions[place[0]](0, q, noise(2, 6, 8, seed=8), noise(2, 6, 8, seed=9), attend)
    mixed = 0.6 * content_q + 0.4 * q
    expected = attention(2.0 * mixed, keys[:1].repeat(2, 1, 1), values[:1].repeat(2, 1, 1), 2)
    assert torch.allclose(out, expected, atol=1e-6)


def test_a_picture_in_its_own_style_is_its_reconstruction(run, toy_branch):
    picture = noise(1, 4, 6, 8)
    inverted = invert(picture, toy_branch, toy_branch.alphas, STEPS, 50)
    back = reconstruct(inverted, toy_branch, toy_branch.alphas)
    own = run(inverted, inverted, gamma=0.0, temperature=1.0)
    # Keys and values come from the inversion's latents, the reconstruction's from its own.
    assert (own - back).abs().mean() < 0.1 * picture.std()


def test_an_idle_guard_is_the_host_to_the_bit(run, trajectory):
    content, style = trajectory(1, 4, 6, 8), trajectory(1, 4, 5, 7, seed=1)
    mask = torch.ones(1, 1, 6, 8)
    plain = run(content, style)
    for guard in (
        IdentityGuard(content.clean, mask, 0.0),
        IdentityGuard(content.clean, mask, 1.0, 0.5, 0.5),
        IdentityGuard(content.clean, 0 * mask, 1.0),
    ):
        assert torch.equal(run(content, style, guard), plain)
    assert not torch.equal(run(content, style, IdentityGuard(content.clean, mask)), plain)


def test_an_item_is_the_same_alone(run, trajectory):
    content, style = trajectory(2, 4, 6, 8), trajectory(1, 4, 5, 7, seed=1)
    guard = IdentityGuard(content.clean, torch.ones(1, 1, 6, 8).repeat(2, 1, 1, 1))
    second = Trajectory(content.timesteps, content.latents[:, 1:])
    alone = IdentityGuard(content.clean[1:], torch.ones(1, 1, 6, 8))
    assert (run(content, style, guard)[1:] - run(second, style, alone)).abs().max() < 1e-4


def test_each_step_is_shown(run, trajectory):
    shown = []
    content = trajectory(1, 4, 6, 8)
    run(content, trajectory(1, 4, 5, 7), progress=lambda step, clean: shown.append(clean.shape))
    assert shown == [content.clean.shape] * STEPS


def test_inversions_for_different_runs_are_refused(run, trajectory):
    with pytest.raises(ValueError, match="5 steps.*4"):
        run(trajectory(1, 4, 6, 8), trajectory(1, 4, 6, 8, steps=4))
