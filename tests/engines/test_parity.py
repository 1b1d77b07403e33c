"""Both engines give the same numbers for the same files, seed and settings."""

import pytest
import torch
from visage.engines.diffusers import DiffusersEngine
from visage.engines.sampling import add_noise, masked, sample_euler, seeded_noise
from visage.techniques.soft_inpaint import inpaint_condition, to_latent_size

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
    from visage.engines.comfyui import attach_inpaint

    model, clip, vae = comfyui_models
    with torch.inference_mode():
        encode = comfy_nodes.CLIPTextEncode().encode
        positive, negative = encode(clip, PROMPT)[0], encode(clip, NEGATIVE)[0]
        condition = inpaint_condition(picture, soft_mask, vae.encode, 0.18215)
        positive, negative = attach_inpaint((positive, negative), condition)
        latent = {"samples": condition.latent, "noise_mask": to_latent_size(condition.mask)}
        (theirs,) = comfy_nodes.KSampler().sample(
            model, 7, steps, guidance, "euler", scheduler, positive, negative, latent, denoise
        )

        engine = diffusers_engine
        condition = inpaint_condition(picture, soft_mask, engine.encode, engine.latent_scale)
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
    # In the UNet's own scale: a random UNet blows latents up, and their rounding with them.
    difference = ((ours - theirs["samples"]) * 0.18215).abs().max()
    assert difference < 1e-4, f"largest difference {difference:.2e}"
    assert (ours - condition.latent).abs().max() > 0.1


def test_a_face_edit_agrees(comfy, diffusers_engine, comfyui_models, random_starter, face_edit):
    """The file's weights, at part of their strength, move both engines' UNets alike."""
    from visage.engines.comfyui import apply_face_edit

    weights = face_edit(diffusers_engine)
    engine = DiffusersEngine.load(random_starter, face_edit=weights, strength=0.7)
    with torch.inference_mode():
        text = engine.encode_text([PROMPT])
        x, concat, sigma = torch.randn(1, 4, 8, 8), torch.rand(1, 5, 8, 8), torch.tensor([2.0])
        plain = diffusers_engine.denoiser(text, text, 1.0, concat)(x, sigma)
        ours = engine.denoiser(text, text, 1.0, concat)(x, sigma)
        model = apply_face_edit(comfyui_models[0], weights, 0.7)
        comfy.model_management.load_models_gpu([model])
        theirs = model.model.apply_model(x, sigma, c_concat=concat, c_crossattn=text)
    assert (ours - plain).abs().max() > 1e-3
    assert (ours - theirs).abs().max() < 1e-4
