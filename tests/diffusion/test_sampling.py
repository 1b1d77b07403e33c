"""Sampling without any engine: schedules, noise, the denoise mask and Euler's method."""

import pytest
import torch
from visage.diffusion.noise_schedule import NoiseSchedule
from visage.diffusion.sampling import add_noise, masked, sample, sample_euler, seeded_noise

CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


@pytest.fixture(scope="module")
def schedule():
    return NoiseSchedule.from_config(CONFIG)


@pytest.mark.parametrize("denoise", [1.0, 0.5])
@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize("scheduler", ["normal", "simple"])
def test_schedules_are_comfyuis(scheduler, steps, denoise, schedule, comfy):
    sampler = comfy.samplers.KSampler
    model = type("Model", (), {"get_model_object": lambda self, _: comfy_sampling(comfy)})()
    theirs = sampler(model, steps, "cpu", "euler", scheduler, denoise).sigmas
    assert torch.allclose(schedule.schedule(scheduler, steps, denoise), theirs, atol=1e-6)


def comfy_sampling(comfy):
    """ComfyUI's own table of noise levels for SD 1.5."""
    return comfy.model_sampling.ModelSamplingDiscrete()


def test_noise_takes_every_seed():
    latent = torch.zeros(1, 4, 2, 2)
    assert torch.equal(seeded_noise(latent, 2**64), seeded_noise(latent, 0))


def test_noise_levels_are_stable_diffusions(schedule):
    assert schedule.sigma_max == pytest.approx(14.6146, abs=1e-4)
    assert float(schedule.sigmas[0]) == pytest.approx(0.0292, abs=1e-4)


def test_timesteps_are_the_nearest_trained_ones(schedule):
    steps = torch.tensor([0, 250, 999])
    assert torch.equal(schedule.timestep(schedule.sigmas[steps]), steps)
    assert torch.allclose(schedule.sigma(steps.float()), schedule.sigmas[steps])


@pytest.mark.parametrize(
    ("scheduler", "steps", "denoise"), [("karras", 5, 1.0), ("normal", 0, 1.0), ("normal", 5, 0.0)]
)
def test_impossible_runs_are_refused(scheduler, steps, denoise, schedule):
    with pytest.raises(ValueError):
        schedule.schedule(scheduler, steps, denoise)


def test_an_unknown_beta_schedule_is_refused():
    with pytest.raises(ValueError, match="squaredcos"):
        NoiseSchedule.from_config({**CONFIG, "beta_schedule": "squaredcos_cap_v2"})


def test_noise_is_comfyuis_for_the_seed(comfy):
    latent = torch.zeros(2, 4, 8, 8)
    assert torch.equal(seeded_noise(latent, 42), comfy.sample.prepare_noise(latent, 42))


def test_noise_does_not_touch_the_global_generator():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    seeded_noise(torch.zeros(1, 4, 8, 8), 5)
    assert torch.equal(torch.rand(3), expected)


def test_a_perfect_denoiser_is_followed_to_its_picture(schedule):
    target = torch.randn(1, 4, 8, 8)
    start = add_noise(target, torch.randn(1, 4, 8, 8), torch.tensor(14.6146), schedule.sigma_max)
    result = sample_euler(lambda x, sigma: target, start, schedule.schedule("normal", 10))
    assert torch.allclose(result, target, atol=1e-5)


def test_a_run_starts_from_the_seeds_noise_and_changes_what_lies_under_the_mask(schedule):
    latent, target = torch.randn(2, 1, 4, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    sigmas, inputs = schedule.schedule("normal", 10), []

    def denoise(x, sigma):
        inputs.append(x)
        return target

    result = sample(denoise, latent, 7, sigmas, schedule.sigma_max, mask)
    expected = torch.where(mask == 1, target, latent)
    assert torch.allclose(result, expected, atol=1e-5)
    sample(denoise, latent, 7, sigmas, schedule.sigma_max)
    first = add_noise(latent, seeded_noise(latent, 7), sigmas[0], schedule.sigma_max)
    assert torch.equal(inputs[10], first)


def test_every_step_is_reported_and_can_stop_the_run(schedule):
    seen = []

    def stop(step, denoised):
        seen.append(step)
        if step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sample_euler(lambda x, _: x, torch.ones(1, 4, 8, 8), schedule.schedule("simple", 10), stop)
    assert seen == [0, 1, 2, 3]


def test_the_mask_keeps_the_latent_outside_and_mixes_at_soft_edges(schedule):
    latent, noise = torch.randn(1, 4, 1, 3), torch.randn(1, 4, 1, 3)
    mask = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    seen = []

    def denoiser(x, sigma):
        seen.append(x)
        return torch.full_like(x, 7.0)

    x, sigma = torch.randn(1, 4, 1, 3), torch.tensor([2.0])
    denoised = masked(denoiser, latent, noise, mask)(x, sigma)
    outside = latent + 2 * noise
    assert torch.equal(seen[0][..., 0], outside[..., 0])
    assert torch.allclose(seen[0][..., 1], 0.25 * x[..., 1] + 0.75 * outside[..., 1])
    assert torch.equal(seen[0][..., 2], x[..., 2])
    assert torch.equal(denoised[..., 0], latent[..., 0])
    assert torch.allclose(denoised[..., 1], 0.25 * 7 + 0.75 * latent[..., 1])
    assert torch.equal(denoised[..., 2], torch.full((1, 4, 1), 7.0))
