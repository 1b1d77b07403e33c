"""Branches: one UNet under several prompts, LoRAs and taps, the same on both engines."""

import pytest
import torch
from visage.diffusion.taps import Attention, Taps
from visage.engines.diffusers.branches import DiffusersRun
from visage.models.style_lora import Factors, StyleLora

PROMPTS = ["a face of a woman with red hair", ""]
SHAPE = (1, 4, 12, 14)
TIMESTEP = 481


@pytest.fixture
def latent():
    return torch.randn(2, *SHAPE[1:], generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def lora(diffusers_engine) -> StyleLora:
    """Random factors for every projection of every attention."""
    generator = torch.Generator().manual_seed(4)
    layers = {}
    for name, module in diffusers_engine.unet.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            out, width = module.weight.shape
            down, up = (torch.randn(4, width, generator=generator) for _ in range(2))
            up = torch.randn(out, 4, generator=generator)
            layers[name.replace(".", "_")] = Factors(0.2 * down, 0.2 * up, 4.0)
    return StyleLora(layers)


@pytest.fixture
def runs(diffusers_engine, comfyui_models, lora):
    """Both engines' ways to a branch with the same prompts: f(lora, bypassed)."""
    from visage.engines.comfyui.branches import ComfyUIRun

    model, clip, _ = comfyui_models

    def theirs(styled=False, bypassed=frozenset(), batch=2):
        run = stack.enter_context(ComfyUIRun(model, (batch, *SHAPE[1:])))
        conditionings = [[[clip.encode(prompt), {}]] for prompt in PROMPTS]
        patched = with_lora(model, lora) if styled else None
        return run.branch(conditionings, patched, bypassed)

    def ours(styled=False, bypassed=frozenset(), batch=2):
        run = DiffusersRun(diffusers_engine, (batch, *SHAPE[1:]))
        texts = diffusers_engine.encode_text(PROMPTS)
        return run.branch(texts, lora if styled else None, bypassed=bypassed)

    from contextlib import ExitStack

    with torch.inference_mode(), ExitStack() as stack:
        yield ours, theirs


def with_lora(model, lora):
    """The model behind ComfyUI's own LoRA loading."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora.tensors(), 1.0, 0.0)[0]


def largest(difference) -> float:
    return float(difference.abs().max())


@pytest.mark.parametrize("timestep", [1, TIMESTEP, 981])
def test_both_engines_expect_the_same_noise(timestep, runs, latent):
    ours, theirs = runs
    first, second = ours()(latent, timestep), theirs()(latent, timestep)
    assert first.shape == (2, 2, *SHAPE[1:])
    assert largest(first - second) < 1e-3 * first.std()


def test_both_engines_wear_a_lora_alike(runs, latent):
    ours, theirs = runs
    first, second = (run(styled=True)(latent, TIMESTEP) for run in runs)
    assert largest(first - second) < 1e-3 * first.std()
    assert largest(first - ours()(latent, TIMESTEP)) > 0.05 * first.std()


def test_a_worn_lora_is_what_comfyui_patches(comfy, comfyui_models, lora, latent):
    """The weights themselves, bit for bit, as after loading the patched clone."""
    from visage.engines.comfyui.branches import ComfyUIRun

    model = comfyui_models[0]
    styled = with_lora(model, lora)
    with torch.inference_mode():
        with ComfyUIRun(model, SHAPE) as run:
            run.branch([[[torch.zeros(1, 77, 48), {}]]], styled)
            (worn,) = run._worn.values()
        comfy.model_management.load_models_gpu([styled], force_full_load=True)
        pairs = [(getattr(module, name), parameter) for module, name, parameter in worn]
        assert len(pairs) == 16 * 8
        assert all(torch.equal(*pair) for pair in pairs)
        comfy.model_management.load_models_gpu([model], force_full_load=True)


def test_taking_a_lora_off_leaves_no_trace(runs, latent):
    for run in runs:
        plain, styled = run(), run(styled=True)
        before = plain(latent, TIMESTEP)
        styled(latent, TIMESTEP)
        assert torch.equal(plain(latent, TIMESTEP), before)


def test_the_text_encoder_wears_its_part_of_a_lora(diffusers_engine):
    from visage.engines.diffusers.lora import text_lora

    width = diffusers_engine.text_encoder.config.hidden_size
    name = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    factors = Factors(torch.randn(4, width), torch.randn(width, 4), 4.0)
    before = diffusers_engine.encode_text(["a red hat"])
    with torch.inference_mode(), text_lora(diffusers_engine, StyleLora({}, text={name: factors})):
        worn = diffusers_engine.encode_text(["a red hat"])
    assert (worn - before).abs().max() > 0.01
    assert torch.equal(diffusers_engine.encode_text(["a red hat"]), before)
    foreign = StyleLora({}, text={name: Factors(torch.ones(4, 9), torch.ones(9, 4), 4.0)})
    with (
        pytest.raises(ValueError, match="another base model"),
        text_lora(diffusers_engine, foreign),
    ):
        pass


def test_bypassed_attentions_keep_the_base_weights(runs, latent):
    """Where all attentions that a LoRA changes are bypassed, the LoRA does nothing to them."""
    hooked = frozenset(Attention(layer, "self") for layer in range(4, 12))
    first, second = (run(styled=True, bypassed=hooked)(latent, TIMESTEP) for run in runs)
    assert largest(first - second) < 1e-3 * first.std()
    assert largest(first - runs[0](styled=True)(latent, TIMESTEP)) > 1e-3 * first.std()


class TestTaps:
    def both(self, runs, latent, **taps):
        return [run()(latent, TIMESTEP, Taps(**taps)) for run in runs]

    @pytest.mark.parametrize(
        "taps",
        [
            {"features": {4: lambda value: value.roll(1, -1)}},
            {"projections": {Attention(5, "self"): lambda _, q, k, v: (q.flip(1), 0.5 * k, v)}},
            {"projections": {Attention(9, "cross"): lambda _, q, k, v: (-q, k, v)}},
            {"outputs": {Attention(8, "self"): lambda _, out: out.flip(1)}},
        ],
        ids=["feature", "self-attention", "cross-attention", "output"],
    )
    def test_replace_the_same_thing_on_both_engines(self, taps, runs, latent):
        first, second = self.both(runs, latent, **taps)
        assert largest(first - second) < 1e-3 * first.std()
        assert largest(first - runs[0]()(latent, TIMESTEP)) > 1e-3 * first.std()

    def test_read_the_same_thing_on_both_engines(self, runs, latent):
        seen = []

        def read(_, q, k, v):
            seen.append((q, k, v))
            return q, k, v

        for run in runs:
            run()(latent, TIMESTEP, Taps(projections={Attention(4, "self"): read}))
        ours, theirs = seen
        assert ours[0].shape == (4, 3 * 4, 64)  # 12 x 14, halved twice
        # The engines may put the two prompts in either order.
        sums = [sorted(float(p.double().abs().sum()) for p in part.chunk(2)) for part in ours]
        others = [sorted(float(p.double().abs().sum()) for p in part.chunk(2)) for part in theirs]
        for first, second in zip(sums, others, strict=True):
            assert first == pytest.approx(second, rel=1e-4)

    def test_reading_changes_nothing(self, runs, latent):
        taps = {
            "features": {4: lambda value: value},
            "projections": {Attention(7, "self"): lambda _, *qkv: qkv},
        }
        for run in runs:
            difference = run()(latent, TIMESTEP, Taps(**taps)) - run()(latent, TIMESTEP)
            assert largest(difference) < 1e-4

    def test_are_gone_afterwards_to_the_bit(self, runs, latent):
        taps = Taps(
            features={4: torch.zeros_like},
            projections={Attention(4, "self"): lambda _, q, k, v: (k, q, v)},
        )
        for run in runs:
            branch = run()
            before = branch(latent, TIMESTEP)
            branch(latent, TIMESTEP, taps)
            assert torch.equal(branch(latent, TIMESTEP), before)

    def test_are_gone_after_a_failure(self, runs, latent):
        def fail(_value):
            raise KeyboardInterrupt

        for run in runs:
            branch = run()
            before = branch(latent, TIMESTEP)
            with pytest.raises(KeyboardInterrupt):
                branch(latent, TIMESTEP, Taps(features={9: fail}))
            assert torch.equal(branch(latent, TIMESTEP), before)

    def test_layers_without_attention_are_refused(self, runs, latent):
        taps = Taps(outputs={Attention(2, "self"): lambda _, out: out})
        for run in runs:
            with pytest.raises(ValueError, match="layer 2"):
                run()(latent, TIMESTEP, taps)


def test_another_packs_attention_still_runs(comfyui_models, latent):
    """A replaced attention of the model stays in place, behind the tap."""
    from visage.engines.comfyui.branches import ComfyUIRun

    calls = []

    def other_pack(q, k, v, extra):
        calls.append(extra["block"])
        return v

    model = comfyui_models[0].clone()
    model.set_model_attn1_replace(other_pack, "output", 5)
    taps = Taps(projections={Attention(5, "self"): lambda _, q, k, v: (q, k, v)})
    with torch.inference_mode(), ComfyUIRun(model, latent.shape) as run:
        branch = run.branch([[[torch.zeros(1, 77, 48), {}]]])
        assert torch.equal(branch(latent, TIMESTEP, taps), branch(latent, TIMESTEP))
    assert calls == [("output", 5)] * 2


def test_an_inpainting_condition_of_the_prompt_is_kept(comfyui_models, latent):
    """Soft Inpaint's channels take the place of the grey picture."""
    from visage.engines.comfyui.branches import ComfyUIRun
    from visage.engines.comfyui.inpaint_conditioning import attach_inpaint
    from visage.techniques.soft_inpaint import inpaint_condition

    model, clip, vae = comfyui_models
    with torch.inference_mode(), ComfyUIRun(model, (1, *SHAPE[1:])) as run:
        plain = [[clip.encode("a face"), {}]]
        picture = torch.rand(1, 96, 112, 3)
        condition = inpaint_condition(picture, torch.zeros(1, 96, 112), vae.encode, 0.18215)
        (shown,) = attach_inpaint([plain], condition)
        first, second = (run.branch([prompt])(latent[:1], TIMESTEP) for prompt in (plain, shown))
    assert not torch.equal(first, second)


def test_what_does_not_belong_together_is_refused(comfy, comfyui_models, diffusers_engine, lora):
    import comfy.hooks
    from visage.engines.comfyui.branches import ComfyUIRun

    model = comfyui_models[0]
    foreign = StyleLora({name: Factors(torch.ones(4, 320), torch.ones(320, 4), 4.0)
                         for name in list(lora.layers)[:1]})  # fmt: skip
    prompt = [[torch.zeros(1, 77, 48), {}]]
    with torch.inference_mode():
        run = DiffusersRun(diffusers_engine, SHAPE)
        with pytest.raises(ValueError, match=r"another base model.*\[320, 320\].*\[64, 64\]"):
            run.branch(diffusers_engine.encode_text([""]), foreign)
        with ComfyUIRun(model, SHAPE) as run:
            with pytest.raises(ValueError, match=r"another base model.*\[320, 320\].*\[64, 64\]"):
                run.branch([prompt], with_lora(model, foreign))
            hooks = comfy.hooks.create_hook_lora(lora.tensors(), 1.0, 0.0)
            with pytest.raises(ValueError, match="LoRA as a hook"):
                run.branch([[[prompt[0][0], {"hooks": hooks}]]])


def test_another_model_is_refused(comfyui_models, four_channel_model):
    from visage.engines.comfyui.branches import ComfyUIRun

    with ComfyUIRun(comfyui_models[0], SHAPE) as run:
        with pytest.raises(ValueError, match="another base model"):
            run.branch([], four_channel_model)


def test_a_model_that_is_no_such_unet_is_refused(comfy):
    from types import SimpleNamespace

    import comfy.model_base
    from visage.engines.comfyui.branches import ComfyUIRun

    flux = SimpleNamespace(model=SimpleNamespace(model_type=comfy.model_base.ModelType.FLUX))
    with pytest.raises(ValueError, match="Use SD 1.5"):
        ComfyUIRun(flux, SHAPE)


class TestSdxl:
    """SDXL's topology, narrow: two levels of attention, several transformer blocks a layer."""

    @pytest.fixture
    def model(self, comfy):
        import comfy.model_base
        import comfy.supported_models
        from comfy.model_patcher import ModelPatcher

        config = {
            "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32,
            "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "num_head_channels": 32,
            "use_spatial_transformer": True, "use_linear_in_transformer": True, "legacy": False,
            "transformer_depth": [0, 0, 1, 1, 3, 3], "transformer_depth_middle": 3,
            "transformer_depth_output": [0, 0, 0, 1, 1, 1, 3, 3, 3], "context_dim": 64,
            "adm_in_channels": 2816, "num_classes": "sequential", "use_temporal_attention": False,
        }  # fmt: skip
        description = comfy.supported_models.SDXL(config)
        description.unet_config.update(config)
        torch.manual_seed(0)
        network = comfy.model_base.SDXL(description)
        for weight in network.parameters():  # ComfyUI leaves them as the memory was
            torch.nn.init.normal_(weight, std=0.1)
        return ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))

    @pytest.fixture
    def prompt(self):
        generator = torch.Generator().manual_seed(2)
        text = torch.randn(1, 77, 64, generator=generator)
        return [[text, {"pooled_output": torch.randn(1, 1280, generator=generator)}]]

    def test_is_tapped_in_every_block_of_the_layers_that_it_has(self, model, prompt):
        from visage.engines.comfyui.branches import ComfyUIRun
        from visage.techniques.injection import (
            Recording,
            feature_layer,
            hooked_attentions,
            injection_taps,
            recording_taps,
        )

        latent, other = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        recording = Recording(feature_layer(range(6)))
        with torch.inference_mode(), ComfyUIRun(model, latent.shape) as run:
            assert run.attention_layers == [0, 1, 2, 3, 4, 5]
            attentions = hooked_attentions(run.attention_layers, cross=False)
            branch = run.branch([prompt])
            plain = branch(latent, TIMESTEP)
            branch(other, TIMESTEP, recording_taps(recording, attentions))
            injected = branch(latent, TIMESTEP, injection_taps(recording, True, attentions))
            assert not torch.equal(injected, plain)
            assert torch.equal(branch(latent, TIMESTEP), plain)
        # Layers 1 and 2 are of the lowest level, with three blocks each here; the others have one.
        assert set(recording.queries_keys) == {
            (Attention(layer, "self"), block)
            for layer in range(1, 6)
            for block in range(3 if layer < 3 else 1)
        }

    def test_counts_the_blocks_of_a_layer(self, model, prompt):
        from visage.engines.comfyui.branches import ComfyUIRun

        blocks = []

        def note(block, q, k, v):
            blocks.append(block)
            return q, k, v

        with torch.inference_mode(), ComfyUIRun(model, SHAPE) as run:
            taps = Taps(projections={Attention(1, "self"): note})
            run.branch([prompt])(torch.zeros(SHAPE), TIMESTEP, taps)
        assert blocks == [0, 1, 2]

    def test_learns_a_lora_that_its_own_loader_applies(self, comfy, model, prompt):
        import comfy.sd
        from visage.engines.comfyui.lora import trainable_lora
        from visage.training.style_lora import StyleLoraSettings, train_style_lora

        latent = torch.randn(1, 4, 8, 8)
        trainable = trainable_lora(model, prompt, latent.shape, 2, 0)
        lora, _ = train_style_lora(latent, trainable, StyleLoraSettings(rank=2, steps=1))
        patched, _ = comfy.sd.load_lora_for_models(model, None, lora.tensors(), 1.0, 0.0)
        assert len(patched.patches) == len(lora.layers) > 100
