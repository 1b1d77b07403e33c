"""What Soft Inpaint does for each kind of model, on narrow networks of their true layout."""

import logging

import pytest
import torch
from visage.techniques.soft_inpaint import inpaint_condition, to_latent_size

PROMPT_WIDTH, POOLED_WIDTH = 32, 16


@pytest.fixture(scope="module")
def flux(comfy):
    """Makes a narrow Flux of two double and two single blocks with this many input channels."""
    import comfy.model_base
    import comfy.supported_models
    from comfy.model_patcher import ModelPatcher
    from visage.engines.comfyui.core import later_flux

    def make(channels: int) -> ModelPatcher:
        config = comfy.supported_models.Flux({"image_model": "flux", "guidance_embed": True})
        config.unet_config = {
            "image_model": "flux", "guidance_embed": True, "in_channels": channels,
            "out_channels": 16, "patch_size": 2, "vec_in_dim": POOLED_WIDTH,
            "context_in_dim": PROMPT_WIDTH, "hidden_size": 128, "mlp_ratio": 4.0, "num_heads": 1,
            "depth": 2, "depth_single_blocks": 2, "axes_dim": [16, 56, 56], "theta": 10000,
            "qkv_bias": True, "dtype": torch.float32, **later_flux(),
        }  # fmt: skip
        config.set_inference_dtype(torch.float32, None)
        model = comfy.model_base.Flux(config)
        randomise(model.diffusion_model)
        return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))

    return make


def randomise(network: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        for value in network.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.05)


def encode_flux(pictures: torch.Tensor) -> torch.Tensor:
    """Latents of 16 channels, as Flux' autoencoder has them."""
    cells = torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), 8)
    return cells.repeat(1, 6, 1, 1)[:, :16]


def attached(picture, soft_mask, encode, prompts):
    from visage.engines.comfyui.inpaint_conditioning import attach_inpaint

    with torch.inference_mode():
        condition = inpaint_condition(picture, soft_mask, encode, 1.0)
        positive, negative = attach_inpaint(prompts, condition)
    latent = {"samples": condition.latent, "noise_mask": to_latent_size(condition.mask)}
    return positive, negative, latent, condition


def flux_prompts() -> list:
    made = torch.Generator().manual_seed(1)
    pooled = {"pooled_output": torch.randn(1, POOLED_WIDTH, generator=made)}
    return [[[torch.randn(1, 6, PROMPT_WIDTH, generator=made), dict(pooled)]] for _ in range(2)]


def sample(comfy_nodes, model, positive, negative, latent, guidance=1.0):
    with torch.inference_mode():
        return comfy_nodes.KSampler().sample(
            model, 1, 2, guidance, "euler", "simple", positive, negative, latent
        )[0]["samples"]


def inputs_of(model) -> list:
    """Collects what the network gets as its input, call by call."""
    seen = []
    network = model.model.diffusion_model
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    return seen


def test_flux_fill_sees_the_soft_mask(flux, comfy_nodes, picture, soft_mask, caplog):
    model = flux(16 + 16 + 64)
    seen = inputs_of(model)
    given = attached(picture, soft_mask, encode_flux, flux_prompts())
    with caplog.at_level(logging.INFO):
        sample(comfy_nodes, model, *given[:3])
    for channels in seen:
        assert channels.shape[1] == 96
        assert len(channels[:, 32:].unique()) > 100
    assert "Flux is shown the soft mask" in caplog.text


def test_flux_without_mask_channels_repaints_in_the_noise_mask(
    flux, comfy_nodes, picture, soft_mask
):
    model = flux(16)
    positive, negative, latent, condition = attached(
        picture, soft_mask, encode_flux, flux_prompts()
    )
    result = sample(comfy_nodes, model, positive, negative, latent)
    outside = condition.latent_mask == 0
    assert outside.any()
    difference = (result - condition.latent).abs() * outside
    assert difference.max() < 1e-5
    assert (result - condition.latent).abs().max() > 0.1


def test_a_plain_unet_repaints_in_the_noise_mask(
    comfyui_models, four_channel_model, comfy_nodes, picture, soft_mask, caplog
):
    clip, vae = comfyui_models[1:3]
    randomise(four_channel_model.model.diffusion_model)
    with torch.inference_mode():
        encode = comfy_nodes.CLIPTextEncode().encode
        prompts = encode(clip, "a face")[0], encode(clip, "blue")[0]
    positive, negative, latent, condition = attached(picture, soft_mask, vae.encode, prompts)
    seen = inputs_of(four_channel_model)
    with caplog.at_level(logging.INFO):
        result = sample(comfy_nodes, four_channel_model, positive, negative, latent, 3.0)
    assert {channels.shape[1] for channels in seen} == {4}
    assert "SD15 has no channels for a mask" in caplog.text
    outside = (condition.latent_mask == 0).expand_as(result)
    assert torch.allclose(result[outside], condition.latent[outside], atol=1e-5)


def test_another_models_vae_is_refused_with_both_shapes(
    flux, comfy_nodes, comfyui_models, picture, soft_mask
):
    given = attached(picture, soft_mask, comfyui_models[2].encode, flux_prompts())
    with pytest.raises(ValueError, match=r"latents of shape \[2, 4, 12, 14\].*\[B, 16, h, w\]"):
        sample(comfy_nodes, flux(96), *given[:3])


def test_other_channels_are_refused(flux, comfy_nodes, picture, soft_mask):
    given = attached(picture, soft_mask, encode_flux, flux_prompts())
    with pytest.raises(ValueError, match="takes 32 channels for latents of 16"):
        sample(comfy_nodes, flux(32), *given[:3])
