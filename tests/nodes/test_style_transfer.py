"""Latent AdaIN and Style Transfer, run as ComfyUI runs them."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("as_in_a_node")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestLatentAdaIN:
    @pytest.fixture
    def adain(self, comfy_nodes):
        from visage.nodes.style_transfer import VisageLatentAdaIN

        def run(content, style, strength=1.0, *masks):
            latents = ({"samples": content, "noise_mask": "kept"}, {"samples": style})
            return VisageLatentAdaIN.execute(*latents, strength, *masks).args[0]

        return run

    def test_takes_the_styles_colours_and_keeps_what_else_a_latent_carries(self, adain):
        content, style = noise(1, 4, 5, 6), 3 + 2 * noise(1, 4, 8, 8, seed=1)
        latent = adain(content, style)
        assert torch.allclose(latent["samples"].mean(dim=(2, 3)), style.mean(dim=(2, 3)), atol=1e-4)
        assert latent["noise_mask"] == "kept"

    def test_masks_are_at_the_pictures_sizes(self, adain):
        content, style = noise(1, 4, 5, 6), noise(1, 4, 8, 8, seed=1)
        left, top = torch.zeros(1, 43, 50), torch.zeros(1, 64, 64)
        left[:, :, :17], top[:, :32] = 1, 1
        samples = adain(content, style, 1.0, left, top)["samples"]
        assert torch.equal(samples[..., 2:], content[..., 2:])
        assert torch.allclose(
            samples[..., :2].mean(dim=(2, 3)), style[:, :, :4].mean(dim=(2, 3)), atol=1e-4
        )

    def test_a_mask_of_another_picture_is_named(self, adain):
        with pytest.raises(ValueError, match="style_mask is 64 x 32"):
            adain(noise(1, 4, 5, 6), noise(1, 4, 8, 8), 1.0, None, torch.rand(1, 32, 64))


OPTIONS = {
    "host": "query-preserving",
    "steps": 2,
    "inversion_steps": 2,
    "gamma": 0.75,
    "temperature": 1.5,
    "adain": 1.0,
    "content_weight": 0.25,
    "learning_rate": 0.05,
}
HOSTS = ("query-preserving", "attention distillation")


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture(scope="module")
def empty(models, comfy_nodes):
    with torch.inference_mode():
        return comfy_nodes.CLIPTextEncode().encode(models[1], "")[0]


@pytest.fixture(scope="module")
def transfer(models, empty, comfy_nodes):
    from visage.nodes.style_transfer import VisageStyleTransfer

    def run(content, style, model=models[0], **options):
        latents = ({"samples": content}, {"samples": style})
        arguments = {**OPTIONS, **options}
        return VisageStyleTransfer.execute(model, empty, *latents, **arguments).args[0]["samples"]

    return run


@pytest.fixture(scope="module")
def guarded(models, comfy_nodes):
    from visage.nodes.identity_guard import VisageIdentityGuard

    def make(content, mask=None, strength=0.5, start=0.0, end=1.0, model=models[0]):
        if mask is None:
            mask = torch.zeros(1, *(8 * side for side in content.shape[-2:]))
            mask[:, 8:32, 8:40] = 1
        return VisageIdentityGuard.execute(
            model, {"samples": content}, mask, strength, start, end
        ).args[0]

    return make


class TestStyleTransfer:
    @pytest.mark.parametrize("host", HOSTS)
    def test_odd_sizes_and_a_style_of_another_size(self, transfer, host):
        content, style = noise(1, 4, 5, 7), 2 * noise(1, 4, 9, 6, seed=1)
        result = transfer(content, style, host=host)
        assert result.shape == content.shape
        assert result.isfinite().all()
        assert (result - content).abs().max() > 0.05

    @pytest.mark.parametrize("host", HOSTS)
    def test_a_batch_is_its_pictures_one_by_one(self, transfer, host):
        contents, style = noise(2, 4, 6, 8), noise(1, 4, 6, 8, seed=1)
        both = transfer(contents, style, host=host)
        alone = transfer(contents[1:], style, host=host)
        # Adam takes the sign of a gradient first, and where that is nearly 0 rounding decides.
        assert ((both[1:] - alone).abs() > 1e-2).float().mean() < 0.02

    def test_one_content_in_several_styles(self, transfer):
        styles = noise(2, 4, 6, 8, seed=1)
        results = transfer(noise(1, 4, 6, 8), styles)
        assert results.shape == (2, 4, 6, 8)
        assert (results[0] - results[1]).abs().max() > 0.01

    @pytest.mark.parametrize("host", HOSTS)
    def test_a_model_with_four_channels(self, comfy, transfer, models, host):
        import comfy.model_base
        import comfy.supported_models
        from comfy.model_patcher import ModelPatcher

        config = {**models[0].model.model_config.unet_config, "in_channels": 4}
        description = comfy.supported_models.SD15(config)
        description.unet_config.update(config)
        torch.manual_seed(0)
        network = comfy.model_base.BaseModel(description)
        with torch.no_grad():
            for weight in network.parameters():
                torch.nn.init.normal_(weight, std=0.05)
        plain = ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))
        result = transfer(noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1), plain, host=host)
        assert result.isfinite().all()

    @pytest.mark.parametrize("host", HOSTS)
    def test_the_canvas_model_is_untouched(self, models, transfer, host):
        unet = models[0].model.diffusion_model
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        transfer(noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1), host=host)
        assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
        assert not any(module._forward_hooks for module in unet.modules())
        assert not any("forward" in vars(module) for module in unet.modules())

    @pytest.mark.parametrize("host", HOSTS)
    def test_it_is_cancelled_between_steps_and_runs_again(self, comfy, transfer, host):
        import comfy.model_management
        import comfy.utils

        seen = []

        def cancel(value, total, preview, **_):
            seen.append((value, total))
            if value == total - 1:
                comfy.model_management.interrupt_current_processing()

        pictures = noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1)
        comfy.utils.set_progress_bar_global_hook(cancel)
        try:
            with pytest.raises(comfy.model_management.InterruptProcessingException):
                transfer(*pictures, host=host)
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
        values = [value for value, _ in seen]
        assert values == sorted(values)
        assert transfer(*pictures, host=host).isfinite().all()

    def test_what_does_not_match_is_refused(self, transfer):
        with pytest.raises(ValueError, match=r"style's latent is \[1, 16, 6, 8\]"):
            transfer(noise(1, 4, 6, 8), noise(1, 16, 6, 8))
        with pytest.raises(ValueError, match="2 contents.*3 styles"):
            transfer(noise(2, 4, 6, 8), noise(3, 4, 6, 8))


class TestGuardedHosts:
    @pytest.mark.parametrize("host", HOSTS)
    def test_strength_0_is_the_host_to_the_bit(self, transfer, guarded, host):
        content, style = noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1)
        plain = transfer(content, style, host=host)
        assert torch.equal(
            transfer(content, style, guarded(content, strength=0.0), host=host), plain
        )
        kept = transfer(content, style, guarded(content), host=host)
        assert (kept - plain).abs().max() > 1e-4

    def test_a_guard_for_another_size_names_both(self, transfer, guarded):
        with pytest.raises(ValueError, match=r"\[1, 4, 6, 9\].*\[1, 4, 6, 8\]"):
            transfer(noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1), guarded(noise(1, 4, 6, 9)))
