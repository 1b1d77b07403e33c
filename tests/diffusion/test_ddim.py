"""The DDIM grid and step."""

import pytest
import torch
from visage.diffusion.ddim import clean_latent, ddim_step, level_alpha, sampling_grid
from visage.diffusion.noise_schedule import NoiseSchedule

ALPHAS = 1 / (1 + NoiseSchedule(torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).sigmas ** 2)


def test_the_grid_is_stable_diffusions():
    grid = sampling_grid(50)
    assert grid[:2] == [981, 961]
    assert grid[-1] == 1
    assert (grid[24], grid[29], grid[39]) == (501, 401, 201)
    assert sampling_grid(999) == list(range(999, 0, -1))


@pytest.mark.parametrize("steps", [0, 1000])
def test_impossible_grids_are_refused(steps):
    with pytest.raises(ValueError, match=f"not {steps}"):
        sampling_grid(steps)


def test_below_the_first_timestep_its_alpha_stays():
    assert level_alpha(ALPHAS, -19) == float(ALPHAS[0]) < 1


def test_is_diffusers_ddim_step():
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == sampling_grid(50)
    latent, noise = torch.randn(2, 1, 4, 8, 8)
    for timestep in (981, 1):
        ours = ddim_step(
            latent, noise, level_alpha(ALPHAS, timestep), level_alpha(ALPHAS, timestep - 20)
        )
        theirs = scheduler.step(noise, timestep, latent).prev_sample
        assert (ours - theirs).abs().max() < 1e-5


def test_a_step_there_and_back_is_none():
    latent, noise = torch.randn(2, 1, 4, 8, 8)
    there = ddim_step(latent, noise, 0.7, 0.2)
    assert (ddim_step(there, noise, 0.2, 0.7) - latent).abs().max() < 1e-5
    assert (clean_latent(there, noise, 0.2) - clean_latent(latent, noise, 0.7)).abs().max() < 1e-5
