"""Invert, Style Region and DiffStyler, run as ComfyUI runs them."""

import json

import pytest
import torch

STEPS = 5
OPTIONS = {
    "guidance": 3.0,
    "inject_source": "base",
    "attention": "hard",
    "kappa": 2.0,
    "inject_cross": False,
    "lora_in_hooked": True,
    "background": "latent",
    "base_feature_steps": 1.0,
    "base_attention_steps": 1.0,
    "mask_mode": "soft",
    "style_blend": "mask",
}


pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture(scope="module")
def picture():
    """Wider than high, and no multiple of 8."""
    return torch.rand(1, 41, 59, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def inverted(models, picture, comfy_nodes):
    with torch.inference_mode():
        return invert(models, picture)[0]


def invert(models, picture, check=False, steps=STEPS):
    from visage.nodes.invert import VisageInvert

    return VisageInvert.execute(*models, picture, steps, 50, check).args


@pytest.fixture(scope="module")
def styled(models, comfy):
    """The model with a LoRA, from ComfyUI's loader."""
    from visage.models.style_lora import Factors, StyleLora

    generator = torch.Generator().manual_seed(2)
    layers = {}
    for block, width in ((1, 64), (2, 96), (3, 64)):
        for name in ("attn1_to_q", "attn1_to_v", "attn2_to_out_0"):
            factors = (
                torch.randn(shape, generator=generator) for shape in ((2, width), (width, 2))
            )
            key = f"up_blocks_{block}_attentions_1_transformer_blocks_0_{name}"
            layers[key] = Factors(*factors, 2.0)
    return with_lora(comfy, models[0], StyleLora(layers))


def with_lora(comfy, model, lora):
    return comfy.sd.load_lora_for_models(model, None, lora.tensors(), 1.0, 0.0)[0]


@pytest.fixture(scope="module")
def region(models, comfy_nodes):
    from visage.nodes.style_region import VisageStyleRegion

    encode = comfy_nodes.CLIPTextEncode().encode

    def make(model, mask=None, regions=(), name="painted", strength=1.0):
        with torch.inference_mode():
            positive, negative = encode(models[1], "a face")[0], encode(models[1], "blue")[0]
        return VisageStyleRegion.execute(
            model, positive, negative, name, strength, 0.6, 0.5, "auto", mask, regions
        ).args[0]

    return make


def paint(model, inverted, regions, **options):
    from visage.nodes.diffstyler import VisageDiffStyler

    return VisageDiffStyler.execute(model, inverted, regions, **{**OPTIONS, **options}).args


@pytest.fixture(scope="module")
def left_half(picture):
    mask = torch.zeros(picture.shape[:3])
    mask[:, :, :32] = 1
    return mask


class TestInvert:
    def test_measures_the_reconstruction(self, models, picture):
        inverted, shown, likeness, report = invert(models, picture, check=True)
        assert shown.shape == picture.shape
        assert 0 < likeness < 999
        assert f"for {STEPS} steps of sampling" in report
        assert f"{likeness:.1f} dB" in report
        assert inverted.trajectory.latents.shape == (STEPS + 1, 1, 4, 6, 8)

    @pytest.mark.usefixtures("comfy_nodes")
    def test_warns_under_25_db(self, caplog):
        from visage.engines.comfyui.diffstyler import inversion_report

        assert "under 25 dB" in inversion_report(96, 20, 24.9)
        assert "under 25 dB" in caplog.text
        assert "under" not in inversion_report(96, 20, 25.1)


class TestDiffStyler:
    def test_outside_the_mask_the_latent_is_the_pictures(
        self, models, inverted, styled, region, left_half
    ):
        latent, mask, overlay, report = paint(models[0], inverted, region(styled, left_half))
        samples = latent["samples"]
        assert torch.equal(samples[..., 4:], inverted.latent[..., 4:])
        assert (samples[..., :4] - inverted.latent[..., :4]).abs().max() > 0.1
        assert torch.equal(mask, left_half)
        assert overlay.shape[-1] == 3
        (described,) = json.loads(report)["regions"]
        assert described["name"] == "painted"
        assert "warning" not in described

    def test_an_empty_mask_gives_the_picture_to_the_bit(
        self, models, inverted, styled, region, picture, left_half
    ):
        from visage.nodes.pixel_blend import VisagePixelBlend

        regions = region(styled, torch.zeros_like(left_half))
        latent, mask, _, report = paint(models[0], inverted, regions)
        assert torch.equal(latent["samples"], inverted.latent)
        decoded = models[2].decode(latent["samples"])
        assert torch.equal(decoded, models[2].decode(inverted.latent))
        blended = VisagePixelBlend.execute(decoded, picture, mask, "linear", "off").args[0]
        assert torch.equal(blended, picture)
        assert "empty" in report

    def test_rows_of_the_unet(self, models, inverted, styled, region, left_half):
        """1 + 2K where the content is injected, 2K afterwards; an uncovered style costs none."""
        rows = []
        unet = models[0].model.diffusion_model
        hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
        try:
            one = region(styled, left_half)
            paint(models[0], inverted, one)
            counted, injected = sum(rows), 3  # 0.6 of 5 steps
            assert counted == STEPS * 2 + injected
            rows.clear()
            paint(models[0], inverted, region(styled, 1 - left_half, one))
            assert sum(rows) == STEPS * 4 + injected
        finally:
            hook.remove()

    def test_later_regions_win(self, models, inverted, styled, region, left_half):
        first = region(models[0], left_half, name="covered")
        alone = paint(models[0], inverted, region(styled, left_half))[0]["samples"]
        both = paint(models[0], inverted, region(styled, left_half, first))
        assert torch.equal(both[0]["samples"], alone)
        assert "covered" in json.loads(both[3])["regions"][0]["warning"]

    def test_twelve_regions(self, models, inverted, styled, region, picture):
        regions = ()
        for index in range(12):
            mask = torch.zeros(picture.shape[:3])
            mask[:, :, 4 * index : 4 * index + 8] = 1
            regions = region(styled, mask, regions, name=f"style {index}")
        latent, mask, *_ = paint(models[0], inverted, regions, guidance=1.0)
        assert latent["samples"].isfinite().all()
        assert mask.max() == 1

    def test_strength_mixes_and_zero_leaves_the_picture(
        self, models, inverted, styled, region, left_half
    ):
        found = {
            strength: paint(models[0], inverted, region(styled, left_half, strength=strength))
            for strength in (0.0, 0.5, 1.0)
        }
        changes = [
            (latent["samples"] - inverted.latent).abs().mean() for latent, *_ in found.values()
        ]
        assert changes[0] == 0 < changes[1] < changes[2]
        assert not found[0.0][1].any()
        # The latent holds the strength: blending by it once more would take half of a half.
        assert torch.equal(found[0.5][1], left_half)
        assert torch.equal(found[1.0][1], left_half)

    def test_a_batch_is_its_pictures_one_by_one(self, models, styled, region):
        pictures = torch.rand(2, 40, 48, 3, generator=torch.Generator().manual_seed(4))
        both = paint(models[0], invert(models, pictures)[0], region(styled))[0]["samples"]
        second = paint(models[0], invert(models, pictures[1:])[0], region(styled))[0]["samples"]
        assert both.shape == (2, 4, 5, 6)
        assert (both[1:] - second).abs().max() < 1e-3 * second.std()

    def test_the_loras_can_keep_out_of_hooked_attentions(
        self, models, inverted, styled, region, left_half
    ):
        regions = region(styled, left_half)
        everywhere, outside = (
            paint(models[0], inverted, regions, lora_in_hooked=on)[0]["samples"]
            for on in (True, False)
        )
        assert not torch.equal(everywhere, outside)

    def test_a_model_without_a_lora_is_pointed_out(self, models, inverted, region, left_half):
        report = paint(models[0], inverted, region(models[0], left_half))[3]
        assert "no LoRA" in report

    def test_the_canvas_model_is_untouched(self, models, inverted, styled, region, left_half):
        unet = models[0].model.diffusion_model
        before = {name: value.clone() for name, value in unet.state_dict().items()}
        paint(models[0], inverted, region(styled, left_half))
        assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
        assert not any(module._forward_hooks for module in unet.modules())


class TestBadInput:
    def test_another_model(self, models, inverted, region, styled, comfy, random_starter):
        from visage.engines.comfyui.starter import load_starter

        other = load_starter(random_starter)[0]
        with pytest.raises(ValueError, match="another model"):
            paint(other, inverted, region(styled))
        with pytest.raises(ValueError, match="another base model"):
            paint(models[0], inverted, region(other))

    def test_the_styles_lora_on_the_base(self, models, inverted, region, styled):
        with pytest.raises(ValueError, match="Style Region only"):
            paint(styled, inverted, region(styled))

    def test_a_lora_of_another_base(self, models, inverted, region, comfy):
        from visage.models.style_lora import Factors, StyleLora

        name = "mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
        foreign = StyleLora({name: Factors(torch.ones(4, 1280), torch.ones(1280, 4), 4.0)})
        with pytest.raises(ValueError, match=r"another base.*1280.*64"):
            paint(models[0], inverted, region(with_lora(comfy, models[0], foreign)))

    def test_a_mask_of_another_size_names_its_region(self, models, inverted, region, styled):
        with pytest.raises(ValueError, match="region 'sea'"):
            paint(models[0], inverted, region(styled, torch.rand(1, 64, 64), name="sea"))

    def test_cancel_at_step_7(self, models, picture, styled, region, comfy):
        """Counted in the UNet: newer versions of ComfyUI do not report every step."""
        import comfy.model_management

        ten = invert(models, picture, steps=10)[0]
        unet, passes = models[0].model.diffusion_model, []

        def cancel(*_):
            passes.append(1)
            if len(passes) == 14:  # each step is a pass over the content and one of the style
                comfy.model_management.interrupt_current_processing()

        counting = unet.register_forward_pre_hook(cancel)
        try:
            with pytest.raises(comfy.model_management.InterruptProcessingException):
                paint(models[0], ten, region(styled))
        finally:
            counting.remove()
        assert len(passes) == 14
        assert not any(module._forward_hooks for module in unet.modules())
        assert paint(models[0], ten, region(styled))[0]["samples"].isfinite().all()
