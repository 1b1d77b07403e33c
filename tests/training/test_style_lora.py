"""Learning a style from one picture, on both engines, and who can read the result."""

import copy
from dataclasses import replace

import pytest
import torch
from visage.engines.diffusers import DiffusersEngine
from visage.engines.diffusers.branches import DiffusersRun
from visage.engines.diffusers.lora import trainable_lora
from visage.training.style_lora import (
    StyleLoraSettings,
    style_latents,
    train_style_lora,
    window_shape,
)

PROMPT = "a face of a woman with red hair"
SETTINGS = StyleLoraSettings(PROMPT, rank=4, steps=3, learning_rate=2e-3, size=64)
SHAPE = (1, 4, 8, 8)


@pytest.fixture(scope="module")
def engine(random_starter) -> DiffusersEngine:
    return DiffusersEngine.load(random_starter)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


def train(engine, latents, settings=SETTINGS, report=None):
    shape = window_shape(latents, settings.crops)
    trainable = trainable_lora(engine, settings.prompt, shape, settings.rank, settings.seed)
    return train_style_lora(latents, trainable, settings, report)


@pytest.fixture(scope="module")
def trained(engine, latents):
    return train(engine, latents)


def test_a_fresh_lora_changes_nothing(engine, latents):
    run = DiffusersRun(engine, SHAPE)
    text = engine.encode_text([PROMPT])
    before = run.branch(text)(latents, 481)
    with trainable_lora(engine, PROMPT, SHAPE, rank=4, seed=0) as lora:
        assert torch.equal(lora.branch(latents, 481), before)
        down, up, alpha = next(iter(lora.lora().layers.values()))
        assert alpha == 4.0
        assert not up.any()
        assert float(down.std()) == pytest.approx(1 / 4, rel=0.2)


def test_all_four_projections_of_every_attention_are_learned(trained):
    lora, losses = trained
    assert len(losses) == SETTINGS.steps
    ends = {name.rsplit("transformer_blocks_0_")[1] for name in lora.layers}
    assert ends == {
        f"attn{i}_{projection}"
        for i in (1, 2)
        for projection in ("to_q", "to_k", "to_v", "to_out_0")
    }
    assert len(lora.layers) == 16 * 8
    assert all(factors.up.any() for factors in lora.layers.values())


def test_training_lowers_the_loss(engine):
    """A flat picture, judged on the same noise before and after."""
    flat = torch.full(SHAPE, 0.3)
    settings = replace(SETTINGS, steps=30, learning_rate=5e-3)
    lora, _ = train(engine, flat, settings)
    run = DiffusersRun(engine, SHAPE)
    text = engine.encode_text([PROMPT])
    base, styled = (
        sum(train_loss(branch, flat, run.alphas, t) for t in (200, 500, 800))
        for branch in (run.branch(text), run.branch(text, lora))
    )
    assert styled < 0.9 * base


def train_loss(branch, latent, alphas, timestep) -> float:
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(timestep))
    alpha = float(alphas[timestep])
    noisy = alpha**0.5 * latent + (1 - alpha) ** 0.5 * noise
    with torch.no_grad():
        return float((branch(noisy, timestep)[0] - noise).square().mean())


def test_the_network_is_as_it_was_afterwards(engine, latents):
    before = {name: value.clone() for name, value in engine.unet.state_dict().items()}

    def stop(step, _loss):
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(engine, latents, report=stop)
    after = engine.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_same_seed_same_lora(engine, latents, trained):
    again, losses = train(engine, latents)
    assert losses == trained[1]
    assert all(
        torch.equal(first.up, second.up)
        for first, second in zip(trained[0].layers.values(), again.layers.values(), strict=True)
    )


def test_a_loss_that_is_no_number_stops_the_training(engine, latents):
    with pytest.raises(ValueError, match="fp32, or with a lower learning rate"):
        train(engine, latents * float("nan"))


def test_crops_are_square_windows(engine):
    wide = torch.randn(1, 4, 8, 24)
    assert window_shape(wide, crops=True) == SHAPE
    assert window_shape(wide, crops=False) == (1, 4, 8, 24)
    _, losses = train(engine, wide, replace(SETTINGS, crops=True, steps=1))
    assert len(losses) == 1


def test_the_short_side_is_brought_to_the_models_size():
    def encode(picture):
        return picture[:, ::8, ::8].movedim(-1, 1)

    latents = style_latents(torch.rand(1, 100, 150, 4), encode, 0.5, 64)
    assert latents.shape == (1, 3, 8, 12)
    assert latents.max() <= 0.5


def test_both_engines_train_alike(comfy, engine, random_starter, latents, trained):
    """The same losses step by step, though ComfyUI's model was loaded in inference mode."""
    from visage.engines.comfyui.lora import trainable_lora as comfyui_trainable
    from visage.engines.comfyui.starter import load_starter

    with torch.inference_mode():
        model, clip, _ = load_starter(random_starter)
        prompt = [[clip.encode(PROMPT), {}]]
        trainable = comfyui_trainable(model, prompt, SHAPE, SETTINGS.rank, SETTINGS.seed)
        lora, losses = train_style_lora(latents, trainable, SETTINGS)
    assert losses == pytest.approx(trained[1], rel=1e-3)
    assert lora.layers.keys() == trained[0].layers.keys()


class TestReaders:
    def test_comfyuis_loader_applies_every_layer(self, comfy, random_starter, trained):
        from visage.engines.comfyui.starter import load_starter

        model = load_starter(random_starter)[0]
        patched, _ = comfy.sd.load_lora_for_models(model, None, trained[0].tensors(), 1.0, 0.0)
        assert len(patched.patches) == len(trained[0].layers)

    def test_diffusers_loader_applies_every_layer(self, engine, latents, trained):
        """The same noise as from our own merge of the weights."""
        pytest.importorskip("peft")
        from diffusers.loaders import StableDiffusionLoraLoaderMixin

        weights, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(trained[0].tensors())
        reader = copy.copy(engine)
        reader.unet = copy.deepcopy(engine.unet)
        reader.unet.load_lora_adapter(weights, network_alphas=alphas, prefix="unet")
        text = engine.encode_text([PROMPT])
        with torch.inference_mode():
            theirs = DiffusersRun(reader, SHAPE).branch(text)(latents, 481)
            ours = DiffusersRun(engine, SHAPE).branch(text, trained[0])(latents, 481)
            plain = DiffusersRun(engine, SHAPE).branch(text)(latents, 481)
        assert (theirs - ours).abs().max() < 1e-4 * ours.std()
        assert (ours - plain).abs().max() > 1e-3 * ours.std()
