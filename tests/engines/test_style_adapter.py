"""The style adapter in both engines: diffusers' numbers, exact identities, and company."""

from __future__ import annotations

import warnings

import pytest
import torch
from visage.diffusion.sampling import add_noise, sample_euler
from visage.engines.diffusers import DiffusersEngine
from visage.models.ip_adapter import build_ip_adapter
from visage.techniques.style_adapter import StyleSettings

STEPS = 10
# A random UNet has no use for more, and blows rounding up with it.
WEIGHT = 0.6


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def layers(comfyui_models):
    from visage.engines.comfyui.adapter import cross_attention

    return [list(layer.to_k.weight.shape) for *_, layer in cross_attention(comfyui_models[0])]


@pytest.fixture(scope="module")
def weights(ip_adapter_weights, layers):
    """Makes the weights of an adapter for the random starter."""
    return lambda variant, seed=1: ip_adapter_weights(
        variant, layers, width=64 if variant == "plus" else 40, seed=seed
    )


@pytest.fixture(scope="module")
def adapter(weights):
    """Makes an adapter as a ComfyUI node loads it."""
    from visage.engines.comfyui.adapter import as_adapter

    def make(variant="base", seed=1):
        parts = {"image_proj": {}, "ip_adapter": {}}
        for name, value in weights(variant, seed).items():
            part, inner = name.split(".", 1)
            parts[part][inner] = value
        return as_adapter(parts)

    return make


@pytest.fixture(scope="module")
def text(diffusers_engine):
    with torch.inference_mode():
        return diffusers_engine.encode_text(["a face of a woman", "blue background"])


def features(variant, seed=3):
    return noise(1, 17, 64, seed=seed) if variant == "plus" else noise(1, 40, seed=seed)


def blank(variant):
    return features(variant, 9) if variant == "plus" else torch.zeros(1, 40)


def styled(model, adapter, variant="base", seed=3, **settings):
    """The model with one reference, by the engine's own door."""
    from visage.engines.comfyui.adapter import apply_style_adapter

    settings = StyleSettings(**{"weight": WEIGHT, **settings})
    with torch.inference_mode():
        return apply_style_adapter(
            model, adapter, [features(variant, seed)], blank(variant), settings
        )


@pytest.fixture
def run(comfy, diffusers_engine, text):
    """Runs a ComfyUI MODEL; gives latents in the UNet's own scale."""

    def run(model, size=(16, 16), guidance=2.0, batch=1, items=slice(None), steps=STEPS, **prompt):
        start, concat = noise(batch, 4, *size)[items], noise(batch, 5, *size, seed=1)[items]
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(*([[part, {"noise_concat": concat, **prompt}]] for part in text[:, None]))
        guider.set_cfg(guidance)
        with torch.inference_mode():
            latent = guider.sample(
                start,
                torch.zeros_like(start),
                comfy.samplers.sampler_object("euler"),
                diffusers_engine.sigmas("normal", steps),
            )
        return latent * 0.18215

    return run


def run_diffusers(engine, text, denoiser_of, size=(16, 16), guidance=2.0):
    """The same run on the diffusers engine, with the denoiser that is made of its arguments."""
    sigmas = engine.sigmas("normal", STEPS)
    with torch.inference_mode():
        start, concat = noise(1, 4, *size), noise(1, 5, *size, seed=1)
        x = add_noise(torch.zeros_like(start), start, sigmas[0], engine.sigma_max)
        return sample_euler(denoiser_of(text[:1], text[1:], guidance, concat), x, sigmas)


def left_half():
    region = torch.zeros(1, 128, 128)
    region[:, :, :64] = 1
    return region


def diffusers_own(random_starter, weights, features, blank, mask=None):
    """An engine whose UNet went through diffusers' own load_ip_adapter."""
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline
    from diffusers.image_processor import IPAdapterMaskProcessor

    engine = DiffusersEngine.load(random_starter)
    parts = {"image_proj": {}, "ip_adapter": {}}
    for name, value in weights.items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    pipeline = StableDiffusionInpaintPipeline(
        engine.vae, engine.text_encoder, engine.tokenizer, engine.unet, DDIMScheduler(),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.load_ip_adapter(
            parts, subfolder="", weight_name="", image_encoder_folder=None, low_cpu_mem_usage=False
        )
    pipeline.set_ip_adapter_scale(WEIGHT)
    more = {"added_cond_kwargs": {"image_embeds": [torch.stack((features, blank))]}}
    if mask is not None:
        mask = IPAdapterMaskProcessor().preprocess(mask, height=128, width=128)
        more["cross_attention_kwargs"] = {"ip_adapter_masks": [mask]}
    engine.unet.register_forward_pre_hook(
        lambda _, args, kwargs: (args, kwargs | more), with_kwargs=True
    )
    return engine


@pytest.mark.parametrize(("variant", "masked"), [("base", False), ("base", True), ("plus", False)])
def test_both_engines_agree_with_diffusers_own_adapter(
    variant, masked, random_starter, diffusers_engine, comfyui_models, weights, adapter, run, text
):
    from visage.engines.diffusers.adapter import make_style, styled_denoiser

    region = left_half() if masked else None
    own = diffusers_own(random_starter, weights(variant), features(variant), blank(variant), region)
    expected = run_diffusers(own, text, own.denoiser)
    plain = run(comfyui_models[0])
    theirs = run(styled(comfyui_models[0], adapter(variant), variant, region=region))
    with torch.inference_mode():
        style = make_style(
            diffusers_engine, build_ip_adapter(weights(variant), "file"), [features(variant)],
            blank(variant), StyleSettings(weight=WEIGHT, region=region),
        )  # fmt: skip
    ours = run_diffusers(
        diffusers_engine, text, lambda *prompt: styled_denoiser(diffusers_engine, [style], *prompt)
    )
    assert (expected - plain).abs().max() > 0.1
    assert (theirs - expected).abs().max() < 1e-3
    assert (ours - expected).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("size", "guidance", "settings"),
    [
        ((12, 10), 2.0, {"weight_type": "style + composition", "region": left_half()}),
        ((16, 16), 1.0, {"start": 0.3, "end": 0.7}),
        ((16, 16), 3.0, {"block_weights": "middle: 1, 3: 0.5", "picture_weights": (1.5,)}),
    ],
)
def test_engines_agree_on_settings(
    size, guidance, settings, diffusers_engine, comfyui_models, weights, adapter, run, text
):
    from visage.engines.diffusers.adapter import make_style, styled_denoiser

    theirs = run(styled(comfyui_models[0], adapter(), **settings), size, guidance)
    with torch.inference_mode():
        style = make_style(
            diffusers_engine, build_ip_adapter(weights("base"), "file"), [features("base")],
            blank("base"), StyleSettings(**{"weight": WEIGHT, **settings}),
        )  # fmt: skip
    ours = run_diffusers(
        diffusers_engine,
        text,
        lambda *prompt: styled_denoiser(diffusers_engine, [style], *prompt),
        size,
        guidance,
    )
    assert (theirs - run(comfyui_models[0], size, guidance)).abs().max() > 1e-2
    assert (ours - theirs).abs().max() < 1e-3


def test_settings_that_do_nothing_give_the_plain_sampler_bit_for_bit(comfyui_models, adapter, run):
    model = comfyui_models[0]
    plain = run(model, steps=4)
    for nothing in (
        {"weight": 0.0},
        {"region": torch.zeros(1, 64, 64)},
        {"start": 0.5, "end": 0.5},
        {"block_weights": "middle: 0"},
    ):
        assert torch.equal(run(styled(model, adapter(), **nothing), steps=4), plain), nothing


@pytest.mark.parametrize(("left", "first", "last"), [(0, 0, 128), (8, 0, 0), (4, 32, 64)])
def test_a_region_is_cut_to_the_area_of_a_prompt(left, first, last, comfyui_models, adapter, run):
    """A prompt for half the picture sees that half of the region, not the whole one squeezed: as if
    the region were what is alike there, from column `first` to `last`.
    """
    alike = torch.zeros(1, 128, 128)
    alike[:, :, first:last] = 1
    limited, expected = (
        run(
            styled(comfyui_models[0], adapter(), region=region),
            guidance=1.0,
            steps=4,
            area=(16, 8, 0, left),
            strength=1.0,
        )[..., left : left + 8]
        for region in (left_half(), alike)
    )
    assert torch.allclose(limited, expected, atol=1e-3)
    plain = run(comfyui_models[0], guidance=1.0, steps=4, area=(16, 8, 0, left), strength=1.0)
    styled_there = not torch.equal(limited, plain[..., left : left + 8])
    assert styled_there == (last > first)


def test_a_region_of_ones_is_no_region_bit_for_bit(comfyui_models, adapter, run):
    whole, ones = (
        run(styled(comfyui_models[0], adapter(), region=region), steps=4)
        for region in (None, torch.ones(1, 40, 70))
    )
    assert torch.equal(whole, ones)


def test_a_picture_of_a_batch_is_the_picture_alone(comfyui_models, adapter, run):
    regions = torch.rand(4, 128, 128, generator=torch.Generator().manual_seed(2))
    together = run(styled(comfyui_models[0], adapter(), region=regions), batch=4, steps=4)
    alone = styled(comfyui_models[0], adapter(), region=regions[2:3])
    alone = run(alone, batch=4, items=slice(2, 3), steps=4)
    assert (together[2:3] - alone).abs().max() < 1e-4


def test_the_order_of_prompts_in_a_batch_does_not_matter(comfy, comfyui_models, adapter, text):
    """The UNet run by hand, with the negative prompt first and last."""
    model = styled(comfyui_models[0], adapter())
    comfy.model_management.load_models_gpu([model])
    x, concat, sigma = noise(2, 4, 8, 8), noise(2, 5, 8, 8, seed=1), torch.tensor([2.0, 2.0])

    def output(roles):
        options = {
            "wrappers": model.wrappers,
            "cond_or_uncond": roles,
            "sigmas": sigma,
        }
        return model.model.apply_model(
            x[roles], sigma, c_concat=concat[roles], c_crossattn=text[roles],
            transformer_options=options,
        )  # fmt: skip

    with torch.inference_mode():
        assert (output([0, 1]) - output([1, 0]).flip(0)).abs().max() < 1e-5


def test_every_cross_attention_layer_is_reached(comfyui_models, adapter, run):
    """One block's weight alone changes the result, also the middle block's."""
    plain = run(comfyui_models[0], steps=1)
    for block in (0, 5, 6, 7, 15):
        model = styled(comfyui_models[0], adapter(), block_weights=f"{block}: 3")
        assert not torch.equal(run(model, steps=1), plain), block


def test_it_adds_to_another_packs_replacement_whichever_came_first(comfyui_models, adapter, run):
    def halved(q, k, v, extra_options):
        return q * 0.5

    plain, first, last = (comfyui_models[0].clone() for _ in range(3))
    for model in (plain, first):
        model.set_model_attn2_replace(halved, "input", 1)
        model.set_model_attn2_replace(halved, "middle", 0, 0)
    first, last = styled(first, adapter()), styled(last, adapter())
    last.set_model_attn2_replace(halved, "input", 1)
    last.set_model_attn2_replace(halved, "middle", 0, 0)
    before, after = run(first, steps=4), run(last, steps=4)
    assert torch.equal(before, after)
    assert (before - run(plain, steps=4)).abs().max() > 1e-3
    assert (before - run(styled(comfyui_models[0], adapter()), steps=4)).abs().max() > 1e-3


def test_two_adapters_add_up_in_either_order(comfyui_models, adapter, run):
    model, one, two = comfyui_models[0], adapter(seed=1), adapter("plus", seed=2)
    both = styled(styled(model, one), two, "plus")
    other = styled(styled(model, two, "plus"), one)
    assert (run(both, steps=4) - run(other, steps=4)).abs().max() < 1e-4
    assert (run(both, steps=4) - run(styled(model, one), steps=4)).abs().max() > 1e-3


def test_it_stacks_with_a_lora(comfyui_models, adapter, run):
    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q.weight"
    patches = {name: ("diff", (noise(64, 64),))}
    before, after = comfyui_models[0].clone(), styled(comfyui_models[0], adapter())
    for model in (before, after):
        model.add_patches(patches)
    before = styled(before, adapter())
    assert torch.equal(run(before, steps=2), run(after, steps=2))
    alone = run(styled(comfyui_models[0], adapter()), steps=2)
    assert not torch.equal(run(after, steps=2), alone)


def test_clones_share_the_patch_and_the_model_itself_stays_plain(comfyui_models, adapter):
    model = comfyui_models[0]
    patched = styled(model, adapter())
    wrappers = patched.wrappers["diffusion_model"]["visage_style_adapter"]
    copied = patched.clone().wrappers["diffusion_model"]["visage_style_adapter"]
    assert copied[0] is wrappers[0]
    assert not model.wrappers.get("diffusion_model")
    assert not patched.model_options["transformer_options"].get("patches_replace")


def test_an_adapter_of_another_model_is_refused(comfyui_models, ip_adapter_weights):
    from visage.engines.comfyui.adapter import as_adapter

    weights = ip_adapter_weights("base", [[320, 768]] * 16)
    parts = {"image_proj": {}, "ip_adapter": {}}
    for name, value in weights.items():
        part, inner = name.split(".", 1)
        parts[part][inner] = value
    with pytest.raises(ValueError, match=r"made for SD 1.5 .* this model is another model \(16"):
        styled(comfyui_models[0], as_adapter(parts))
    with pytest.raises(ValueError, match="connected as ipadapter is not an IP-Adapter"):
        as_adapter("nothing")


class TestReferences:
    """What the image encoder is shown."""

    @pytest.fixture(autouse=True)
    def as_in_a_node(self):
        with torch.inference_mode():
            yield

    @pytest.fixture
    def read(self, adapter, clip_vision):
        from visage.engines.comfyui.adapter import picture_features

        def read(image, masked=None, variant="plus"):
            return picture_features(adapter(variant), clip_vision, image, masked)

        return read

    @pytest.mark.parametrize("variant", ["base", "plus"])
    def test_a_masked_part_cannot_be_seen(self, variant, read):
        picture, mask = torch.rand(1, 48, 64, 3), torch.zeros(1, 48, 64)
        mask[:, :, :24] = 1
        changed = picture.clone()
        changed[:, :, :22] = torch.rand(1, 48, 22, 3)
        (before,), (after,) = read(picture, mask, variant), read(changed, mask, variant)
        assert (before - after).abs().max() < 1e-5
        assert not torch.allclose(read(picture, None, variant)[0], read(changed, None, variant)[0])

    def test_an_empty_mask_is_no_mask_and_masks_go_with_their_pictures(self, read):
        pictures, masks = torch.rand(2, 32, 32, 3), torch.zeros(2, 32, 32)
        masks[1, :, :8] = 1
        plain, masked = read(pictures), read(pictures, masks)
        assert torch.equal(plain[0], masked[0])
        assert [part.shape[1] for part in masked] == [17, 13]
        with pytest.raises(ValueError, match="2 style pictures and 3 reference masks"):
            read(pictures, torch.zeros(3, 32, 32))

    def test_a_picture_is_encoded_once(self, read, clip_vision, monkeypatch):
        pictures = torch.rand(2, 32, 32, 3)
        first = read(pictures)
        monkeypatch.setattr(clip_vision, "encode_image", None)
        again = read(pictures.clone().flip(0))
        assert torch.equal(first[0], again[1])

    def test_an_image_encoder_of_another_width_is_refused(
        self, clip_vision, layers, ip_adapter_weights
    ):
        from visage.engines.comfyui.adapter import (
            LoadedAdapter,
            blank_features,
            picture_features,
        )

        network = build_ip_adapter(ip_adapter_weights("plus", layers, width=1280), "file")
        wrong = LoadedAdapter(network, None)
        with pytest.raises(ValueError, match=r"1280 values wide \(CLIP ViT-H/14\).* 64 values"):
            picture_features(wrong, clip_vision, torch.rand(1, 32, 32, 3))
        with pytest.raises(ValueError, match="1280 values wide"):
            blank_features(wrong, clip_vision)

    def test_the_negative_prompt_sees_what_it_saw_in_training(self, adapter, clip_vision):
        from visage.engines.comfyui.adapter import blank_features

        assert not blank_features(adapter("base"), clip_vision).any()
        assert blank_features(adapter("plus"), clip_vision).shape == (1, 17, 64)


def test_fractions_of_a_run_are_comfyuis(comfyui_models, diffusers_engine):
    sampling = comfyui_models[0].get_model_object("model_sampling")
    for fraction in (0.1, 0.35, 0.8, 1.0):
        expected = sampling.percent_to_sigma(fraction)
        assert diffusers_engine.noise_schedule.sigma_at(fraction) == pytest.approx(
            expected, rel=1e-5
        )


def test_sdxls_layers_are_found_in_the_files_order(sdxl_unet):
    """On the way down, up and in the middle, in blocks of two and of ten transformers."""
    from types import SimpleNamespace

    from visage.engines.comfyui.adapter import cross_attention
    from visage.techniques.style_adapter import SDXL_BLOCKS

    layers = cross_attention(SimpleNamespace(model=SimpleNamespace(diffusion_model=sdxl_unet)))
    widths = [layer.to_k.weight.shape[0] for *_, layer in layers]
    assert widths == [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10
    assert {block for block, *_ in layers} == set(SDXL_BLOCKS)
    assert [index for block, index, _ in layers if block == ("output", 1)] == list(range(10))
    assert layers[-1][:2] == (("middle", 0), 9)
