"""Both engines give the same numbers for the same files, seed and settings."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from visage.diffusion.latent import to_latent_size
from visage.diffusion.sampling import add_noise, masked, sample_euler, seeded_noise
from visage.engines.diffusers import DiffusersEngine
from visage.techniques.soft_inpaint import inpaint_condition

PROMPT = "a face of a woman with red hair and round glasses, smiling"
NEGATIVE = "blue background"


@pytest.mark.parametrize("prompt", [PROMPT, "", "a very long prompt, " * 40])
def test_text_embeddings_agree(prompt, diffusers_engine, comfyui_models):
    clip = comfyui_models[1]
    with torch.inference_mode():
        ours = diffusers_engine.encode_text([prompt])
        theirs = clip.encode(prompt)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4


def test_latents_and_pictures_agree(diffusers_engine, comfyui_models, picture):
    vae = comfyui_models[2]
    with torch.inference_mode():
        latent = diffusers_engine.encode(picture)
        assert (latent - vae.encode(picture)).abs().max() < 1e-4
        assert (diffusers_engine.decode(latent) - vae.decode(latent)).abs().max() < 1e-4


def noisy_latent():
    """x, concat and sigma of one call at the starter's own size."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 4, 16, 16, generator=generator)
    return x, torch.rand(1, 5, 16, 16, generator=generator), torch.tensor([2.0])


def test_prompts_of_unlike_length_agree(comfy, diffusers_engine, comfyui_models):
    """A long prompt of several windows against a short one, guided: ComfyUI repeats the short."""
    model, clip, _ = comfyui_models
    long = "a woman with red hair, " * 20
    with torch.inference_mode():
        x, concat, sigma = noisy_latent()
        text = diffusers_engine.encode_text([long, NEGATIVE])
        ours = diffusers_engine.denoiser(text[:1], text[1:], 3.0, concat)(x, sigma)
        guider = comfy.samplers.CFGGuider(model)
        conditions = [[[clip.encode(text), {"noise_concat": concat}]] for text in (long, NEGATIVE)]
        guider.set_conds(*conditions)
        guider.set_cfg(3.0)
        theirs = guider.sample(
            torch.zeros_like(x), x / 0.18215, first_denoised(comfy), torch.tensor([2.0, 0.0])
        )
    assert text.shape[1] > 77
    assert (ours - theirs * 0.18215).abs().max() < 1e-4


def first_denoised(comfy):
    """A SAMPLER which gives what the first call of the model gives."""

    def first(model, x, sigmas, extra_args, **_):
        return model(x, sigmas[:1], **extra_args)

    return comfy.samplers.KSAMPLER(first)


def test_our_euler_is_comfyuis(comfy, comfyui_models):
    """As a SAMPLER inside ComfyUI it gives the same latent, bit for bit."""
    model, clip, _ = comfyui_models

    def ours(model, x, sigmas, extra_args, callback=None, disable=None):
        return sample_euler(lambda x, sigma: model(x, sigma, **extra_args), x, sigmas)

    with torch.inference_mode():
        prompt = [[clip.encode(PROMPT), {}]]
        noise, latent = torch.randn(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
        samplers = (comfy.samplers.KSAMPLER(ours), comfy.samplers.sampler_object("euler"))
        results = [
            comfy.sample.sample_custom(
                model, noise, 2.0, sampler, torch.tensor([14.6, 3.0, 0.5, 0.0]), prompt, prompt,
                latent,
            )
            for sampler in samplers
        ]  # fmt: skip
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("steps", "scheduler", "denoise", "guidance"),
    [(8, "normal", 1.0, 3.0), (9, "simple", 0.6, 1.0), (12, "normal", 0.35, 2.0)],
)
def test_a_whole_run_agrees(
    steps,
    scheduler,
    denoise,
    guidance,
    comfy_nodes,
    comfyui_models,
    diffusers_engine,
    picture,
    soft_mask,
):
    """ComfyUI's KSampler with our conditioning, against our sampler on the diffusers engine."""
    ours, theirs, start = both_runs(
        comfy_nodes, comfyui_models, diffusers_engine, picture, soft_mask,
        steps, scheduler, denoise, guidance,
    )  # fmt: skip
    # In the UNet's own scale: a random UNet blows latents up, and their rounding with them.
    difference = ((ours - theirs) * 0.18215).abs().max()
    assert difference < 1e-4, f"largest difference {difference:.2e}"
    assert (ours - start).abs().max() > 0.1


def test_the_shipped_starter_agrees(comfy, comfy_nodes):
    """The real weights at their own size, as the workflow runs them."""
    from visage.engines.comfyui.starter import load_starter

    picture = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(3))
    picture = F.interpolate(picture.movedim(-1, 1), 128, mode="bicubic").clamp(0, 1).movedim(1, -1)
    mask = torch.zeros(1, 128, 128)
    mask[:, 32:96, 40:88] = 1
    mask = F.avg_pool2d(mask, 17, stride=1, padding=8)
    with torch.inference_mode():
        models = load_starter()
    ours, theirs, _ = both_runs(
        comfy_nodes, models, DiffusersEngine.load(), picture, mask, 20, "normal", 1.0, 5.0
    )
    difference = (ours - theirs).abs().max()
    assert difference < 1e-4, f"largest difference {difference:.2e}"


def both_runs(comfy_nodes, models, engine, picture, mask, steps, scheduler, denoise, guidance):
    """Latents of our engine and of ComfyUI's KSampler, and the latent that both started from."""
    from visage.engines.comfyui.inpaint_conditioning import attach_inpaint

    model, clip, vae = models
    with torch.inference_mode():
        encode = comfy_nodes.CLIPTextEncode().encode
        positive, negative = encode(clip, PROMPT)[0], encode(clip, NEGATIVE)[0]
        condition = inpaint_condition(picture, mask, vae.encode, 0.18215)
        positive, negative = attach_inpaint((positive, negative), condition)
        latent = {"samples": condition.latent, "noise_mask": to_latent_size(condition.mask)}
        (theirs,) = comfy_nodes.KSampler().sample(
            model, 7, steps, guidance, "euler", scheduler, positive, negative, latent, denoise
        )

        condition = inpaint_condition(picture, mask, engine.encode, engine.latent_scale)
        ours = condition.latent * engine.latent_scale
        noise = seeded_noise(ours, 7)
        sigmas = engine.sigmas(scheduler, steps, denoise)
        text = engine.encode_text([PROMPT, NEGATIVE])
        denoiser = masked(
            engine.denoiser(text[:1], text[1:], guidance, condition.concat),
            ours,
            noise,
            to_latent_size(condition.mask),
        )
        start = add_noise(ours, noise, sigmas[0], engine.sigma_max)
        ours = sample_euler(denoiser, start, sigmas) / engine.latent_scale
    return ours, theirs["samples"], condition.latent


def test_a_face_edit_agrees(comfy, diffusers_engine, comfyui_models, random_starter, face_edit):
    """The file's weights, at part of their strength, move both engines' UNets alike."""
    from visage.engines.comfyui.face_edit import apply_face_edit

    weights = face_edit(diffusers_engine)
    engine = DiffusersEngine.load(random_starter, face_edit=weights, strength=0.7)
    with torch.inference_mode():
        text = engine.encode_text([PROMPT])
        x, concat, sigma = noisy_latent()
        plain = diffusers_engine.denoiser(text, text, 1.0, concat)(x, sigma)
        ours = engine.denoiser(text, text, 1.0, concat)(x, sigma)
        model = apply_face_edit(comfyui_models[0], weights, 0.7)
        comfy.model_management.load_models_gpu([model])
        theirs = model.model.apply_model(x, sigma, c_concat=concat, c_crossattn=text)
    assert (ours - plain).abs().max() > 1e-3
    assert (ours - theirs).abs().max() < 1e-4


def test_velocity_prediction_agrees(comfy, random_starter, tmp_path):
    """The same UNet read as one that predicts v instead of the noise."""
    from visage.engines.comfyui.starter import load_starter

    folder = shutil.copytree(random_starter, tmp_path / "starter")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction"}))
    engine = DiffusersEngine.load(folder)
    with torch.inference_mode():
        model, clip, _ = load_starter(folder)
        x, concat, sigma = noisy_latent()
        text = engine.encode_text([PROMPT])
        ours = engine.denoiser(text, text, 1.0, concat)(x, sigma)
        theirs = model.model.apply_model(x, sigma, c_concat=concat, c_crossattn=text)
    assert (ours - theirs).abs().max() < 1e-4


def test_an_unknown_prediction_is_refused(random_starter, tmp_path):
    folder = shutil.copytree(random_starter, tmp_path / "starter")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "sample"}))
    with pytest.raises(ValueError, match="'sample'; known are epsilon, v_prediction"):
        DiffusersEngine.load(folder)


def test_the_diffusers_engine_needs_as_many_channels_as_it_is_given(diffusers_engine):
    text = diffusers_engine.encode_text([PROMPT])
    with pytest.raises(ValueError, match=r"takes 9 channels.*4 \+ 0"):
        diffusers_engine.denoiser(text, text, 1.0, None)
