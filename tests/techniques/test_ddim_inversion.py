"""DDIM inversion."""

import math

import pytest
import torch
from visage.diffusion.ddim import sampling_grid
from visage.diffusion.noise_schedule import NoiseSchedule
from visage.techniques.ddim_inversion import inversion_grid, invert, psnr, reconstruct

ALPHAS = 1 / (1 + NoiseSchedule(torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).sigmas ** 2)


@pytest.fixture
def latent():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def constant(latent):
    """A model that expects the same noise always, whatever it is shown."""
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2))
    return lambda x, timestep, taps=None: noise.unsqueeze(0)


@pytest.mark.parametrize("steps", [1, 10, 20, 25, 30, 50, 100])
@pytest.mark.parametrize("inversion_steps", [50, 100, 250, 999])
def test_the_grid_holds_every_timestep_that_sampling_reads(steps, inversion_steps):
    grid = inversion_grid(steps, inversion_steps)
    assert set(sampling_grid(steps)) <= set(grid)
    assert grid[-1] == sampling_grid(steps)[0]
    assert 1000 // (grid[1] - grid[0] if len(grid) > 1 else 1) >= inversion_steps


def test_the_finest_grid_visits_every_timestep():
    assert inversion_grid(50, 999) == list(range(1, 982))
    assert inversion_grid(50, 50) == sampling_grid(50)[::-1]


def test_noise_is_asked_at_the_target_timestep_on_the_latent_below(latent):
    asked = []

    def record(x, timestep, taps=None):
        asked.append((timestep, x.clone()))
        return torch.zeros_like(x).unsqueeze(0)

    trajectory = invert(latent, record, ALPHAS, steps=10, inversion_steps=10)
    assert [timestep for timestep, _ in asked] == sampling_grid(10)[::-1]
    assert torch.equal(asked[0][1], latent)
    assert torch.equal(asked[1][1], trajectory.latents[9])


def test_keeps_the_sampling_steps_alone_and_ends_with_the_picture_itself(latent):
    trajectory = invert(latent, constant(latent), ALPHAS, steps=20, inversion_steps=250)
    assert trajectory.timesteps == tuple(sampling_grid(20))
    assert trajectory.latents.shape == (21, *latent.shape)
    assert trajectory.latents.device.type == "cpu"
    assert trajectory.latents.dtype == torch.float32
    assert torch.equal(trajectory.clean, latent)


@pytest.mark.parametrize("steps", [10, 50])
def test_is_exact_where_the_model_is_constant(steps, latent):
    branch = constant(latent)
    trajectory = invert(latent, branch, ALPHAS, steps=steps, inversion_steps=50)
    assert (reconstruct(trajectory, branch, ALPHAS) - latent).abs().max() < 2e-5


def test_finer_steps_reconstruct_better(latent):
    """A model whose noise depends on the latent, as every real one's does."""

    def model(x, timestep, taps=None):
        return torch.tanh(x.roll(1, -1) * (1 + timestep / 1000)).unsqueeze(0)

    def error(inversion_steps):
        trajectory = invert(latent, model, ALPHAS, 100, inversion_steps)
        return float((reconstruct(trajectory, model, ALPHAS) - latent).abs().mean())

    assert error(999) < error(100)


def test_says_how_far_it_is(latent):
    steps = []
    invert(latent, constant(latent), ALPHAS, 10, 50, lambda step, clean: steps.append(step))
    assert steps == list(range(len(inversion_grid(10, 50))))


def test_numbers_that_are_not_finite_are_refused(latent):
    with pytest.raises(ValueError, match="32 bits"):
        invert(latent, lambda x, *_: torch.full((1, *x.shape), math.nan), ALPHAS, 10, 50)


def test_psnr():
    black = torch.zeros(1, 8, 8, 3)
    assert psnr(black, black) == math.inf
    assert psnr(black + 0.1, black) == pytest.approx(20, abs=1e-4)
