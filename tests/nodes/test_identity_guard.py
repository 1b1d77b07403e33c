"""Identity Guard on ComfyUI's own KSampler and on DiffStyler, run as ComfyUI runs them."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("as_in_a_node")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture(scope="module")
def model(models):
    return models[0]


@pytest.fixture(scope="module")
def face():
    """The face of a picture of 6 x 8 cells."""
    mask = torch.zeros(1, 48, 64)
    mask[:, 8:40, 16:48] = 1
    return mask


@pytest.fixture(scope="module")
def guarded(model, face, comfy_nodes):
    from visage.nodes.identity_guard import VisageIdentityGuard

    def make(model=model, content=None, mask=face, strength=0.5, start=0.0, end=1.0):
        content = noise(1, 4, 6, 8) if content is None else content
        return VisageIdentityGuard.execute(
            model, {"samples": content}, mask, strength, start, end
        ).args[0]

    return make


@pytest.fixture(scope="module")
def sample(models, comfy_nodes):
    """ComfyUI's KSampler from image to image."""
    encode = comfy_nodes.CLIPTextEncode().encode

    def run(model, latent=None, cfg=2.0, denoise=0.6, sampler="euler", steps=3, more=()):
        positive, negative = encode(models[1], "a face")[0], encode(models[1], "")[0]
        positive = [*positive, *more]
        latent = {"samples": noise(1, 4, 6, 8) if latent is None else latent}
        return comfy_nodes.KSampler().sample(
            model, 3, steps, cfg, sampler, "normal", positive, negative, latent, denoise
        )[0]["samples"]

    return run


@pytest.fixture(scope="module")
def paint(models, comfy_nodes):
    """DiffStyler on one picture that was inverted once."""
    from visage.nodes.diffstyler import VisageDiffStyler
    from visage.nodes.invert import VisageInvert
    from visage.nodes.style_region import VisageStyleRegion

    with torch.inference_mode():
        picture = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(1))
        inverted = VisageInvert.execute(*models, picture, 5, 50, False).args[0]
        prompt = comfy_nodes.CLIPTextEncode().encode(models[1], "blue")[0]
        region = VisageStyleRegion.execute(
            models[0], prompt, prompt, "painted", 1.0, 0.4, 0.2, "auto"
        ).args[0]

    def run(model, attention="hard", inject_cross=False):
        return VisageDiffStyler.execute(
            model, inverted, region, 1.0, "base", attention, 2.0, inject_cross, True,
            "latent", 1.0, 1.0, "soft", "mask",
        ).args[0]["samples"]  # fmt: skip

    return run


class TestKSampler:
    def test_strength_0_and_an_empty_mask_are_the_model_to_the_bit(
        self, model, guarded, sample, face
    ):
        plain = sample(model)
        for idle in (guarded(strength=0.0), guarded(mask=0 * face), guarded(start=0.5, end=0.5)):
            assert torch.equal(sample(idle), plain)
            assert idle.model_options == model.model_options

    @pytest.mark.parametrize(
        ("cfg", "sampler"), [(1.0, "euler"), (2.0, "euler_ancestral"), (2.0, "uni_pc")]
    )
    def test_a_guarded_run_differs_and_leaves_no_trace(self, model, guarded, sample, cfg, sampler):
        unet = model.model.diffusion_model
        plain = sample(model, cfg=cfg, sampler=sampler)
        kept = sample(guarded(), cfg=cfg, sampler=sampler)
        assert kept.isfinite().all()
        assert (kept - plain).abs().max() > 1e-3
        assert torch.equal(sample(model, cfg=cfg, sampler=sampler), plain)
        assert not any(module._forward_hooks for module in unet.modules())

    def test_faces_come_nearer_to_the_original(self, model, guarded, sample):
        from visage.techniques.identity_guard import anchor_loss

        guard = guarded(strength=1.0).get_attachment("visage_identity_guard")
        far = [
            float(anchor_loss(model.model.process_latent_in(sample(chosen, denoise=1.0)), guard))
            for chosen in (model, guarded(), guarded(strength=1.0))
        ]
        assert far[0] > far[1] > far[2]

    def test_one_pass_more_a_step(self, model, guarded, sample):
        rows = []
        unet = model.model.diffusion_model
        hook = unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
        try:
            sample(guarded())
        finally:
            hook.remove()
        assert sum(rows) == 3 * 3

    def test_outside_start_and_end_the_model_runs_alone(self, model, guarded, sample):
        assert torch.equal(sample(guarded(end=0.05)), sample(model))
        assert not torch.equal(sample(guarded(start=0.5)), sample(model))

    def test_a_batch_is_its_pictures_one_by_one(self, guarded, sample, comfy):
        """One content for all pictures; their noise is their own."""

        latents = noise(2, 4, 6, 8)
        both = sample(guarded(), latents)
        assert both.shape == (2, 4, 6, 8)
        first = sample(guarded(), latents[:1])
        assert (both[:1] - first).abs().max() < 1e-3

    def test_later_patches_and_loras_of_the_clone_keep_it(self, guarded, sample):
        kept = guarded()
        assert torch.equal(sample(kept.clone()), sample(kept))

    def test_other_packs_attention_still_runs(self, model, guarded, sample):
        calls = []

        def other_pack(q, k, v, extra):
            calls.append(extra["block"])
            return v

        patched = model.clone()
        patched.set_model_attn1_replace(other_pack, "output", 9)
        sample(guarded(patched))
        assert len(calls) == 3 * 2

    def test_combined_prompts_are_guarded_and_areas_refused(self, models, guarded, sample):
        text = models[1].encode("glasses")
        left = torch.zeros(1, 48, 64)
        left[..., :32] = 1
        assert sample(guarded(), more=[[text, {"mask": left}]]).isfinite().all()
        with pytest.raises(ValueError, match="limited to an area"):
            sample(guarded(), more=[[text, {"area": (5, 4, 0, 0)}]])


class TestDiffStyler:
    def test_strength_0_is_diffstyler_to_the_bit(self, model, guarded, paint):
        assert torch.equal(paint(guarded(strength=0.0)), paint(model))

    @pytest.mark.parametrize(
        "settings", [{}, {"attention": "adaptive"}, {"inject_cross": True}], ids=str
    )
    def test_faces_hold_on_to_the_content_longer(self, model, guarded, paint, settings):
        plain, kept = paint(model, **settings), paint(guarded(), **settings)
        assert kept.isfinite().all()
        assert (kept - plain).abs().max() > 1e-4
        assert torch.equal(paint(model, **settings), plain)


class TestBadInput:
    def test_another_size(self, guarded, sample):
        with pytest.raises(ValueError, match=r"\[1, 4, 6, 8\].*\[1, 4, 6, 9\]"):
            sample(guarded(), noise(1, 4, 6, 9))

    def test_a_mask_of_another_picture(self, guarded):
        with pytest.raises(ValueError, match="mask is 64 x 20"):
            guarded(mask=torch.rand(1, 20, 64))

    def test_two_guards(self, guarded):
        with pytest.raises(ValueError, match="guard already"):
            guarded(guarded())

    def test_a_model_that_is_no_unet(self, comfy, guarded):
        from types import SimpleNamespace

        import comfy.model_base
        from visage.engines.comfyui.guard import apply_identity_guard

        flux = SimpleNamespace(model=SimpleNamespace(model_type=comfy.model_base.ModelType.FLUX))
        with pytest.raises(ValueError, match="Use SD 1.5"):
            apply_identity_guard(flux, None)
