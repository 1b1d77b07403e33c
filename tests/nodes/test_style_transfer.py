"""Latent AdaIN and Style Transfer, run as ComfyUI runs them."""

import pytest
import torch


@pytest.fixture(autouse=True)
def as_in_a_node():
    """ComfyUI runs every node in inference mode."""
    with torch.inference_mode():
        yield


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
            adain(noise(1, 4, 5, 6), noise(1, 4, 8, 8), 1.0, None, torch.ones(1, 32, 64))
