"""DiffStyler on both engines: the same latents from the same files and settings."""

import pytest
import torch
from visage.engines.diffusers.branches import DiffusersRun
from visage.models.style_lora import Factors, StyleLora
from visage.techniques.ddim_inversion import Trajectory, invert, reconstruct
from visage.techniques.diffstyler import (
    Base,
    DiffStylerSettings,
    Style,
    region_weights,
    stylize,
)

PROMPTS = ["a face of a woman with red hair", "round glasses", "blue background", ""]
SHAPE = (1, 4, 12, 14)
STEPS = 10


def random_lora(engine, seed: int, size: float = 0.1) -> StyleLora:
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for name, module in engine.unet.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            out, width = module.weight.shape
            down = torch.randn(2, width, generator=generator)
            up = torch.randn(out, 2, generator=generator)
            layers[name.replace(".", "_")] = Factors(size * down, size * up, 2.0)
    return StyleLora(layers)


@pytest.fixture(scope="module")
def loras(diffusers_engine):
    return [random_lora(diffusers_engine, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def weights():
    """Two soft regions which overlap."""
    x = torch.linspace(0, 1, 14).expand(1, 1, 12, 14)
    return region_weights(torch.stack((x.clamp(0, 0.9), (1 - 2 * x).clamp(0, 1))))


@pytest.fixture(scope="module")
def ours(diffusers_engine, loras):
    """f(prompts, style) -> branch, and the schedule, of the diffusers engine."""
    run = DiffusersRun(diffusers_engine, SHAPE)

    def branch(prompts, style=None):
        texts = diffusers_engine.encode_text(prompts)
        return run.branch(texts, None if style is None else loras[style])

    return run, branch


@pytest.fixture(scope="module")
def theirs(comfy, comfyui_models, loras):
    from visage.engines.comfyui.branches import ComfyUIRun

    model, clip, _ = comfyui_models
    with torch.inference_mode(), ComfyUIRun(model, SHAPE) as run:

        def branch(prompts, style=None):
            conditionings = [[[clip.encode(prompt), {}]] for prompt in prompts]
            styled = None
            if style is not None:
                tensors = loras[style].tensors()
                styled = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0)[0]
            return run.branch(conditionings, styled)

        yield run, branch


@pytest.fixture(scope="module")
def trajectory(ours):
    run, branch = ours
    latent = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return invert(latent, branch([""]), run.alphas, STEPS, 50)


@pytest.fixture(scope="module")
def short(trajectory) -> Trajectory:
    """Three of its steps, for what does not depend on their number."""
    latents = torch.cat((trajectory.latents[:-1:4], trajectory.latents[-1:]))
    return Trajectory(trajectory.timesteps[::4], latents)


def painted(engine, trajectory, weights, styles=(0, 1), **settings):
    run, branch = engine
    red, glasses, blue, empty = PROMPTS
    settings = DiffStylerSettings(guidance=3.0, **settings)
    own = settings.inject_source == "self"
    with torch.inference_mode():
        base = Base(branch([empty]), branch([blue, empty]))
        chosen = [
            Style(branch([blue, prompt], style), branch([empty], style) if own else None)
            for style, prompt in zip(styles, (red, glasses), strict=False)
        ]
        return stylize(
            trajectory, weights, chosen, base, run.alphas, run.attention_layers, settings
        )


def test_the_schedule_and_the_layers_agree(ours, theirs):
    assert ours[0].attention_layers == theirs[0].attention_layers == list(range(3, 12))
    assert torch.allclose(ours[0].alphas, theirs[0].alphas, rtol=1e-6)


def test_inversion_and_its_reconstruction_agree(ours, theirs, trajectory):
    run, branch = theirs
    with torch.inference_mode():
        other = invert(trajectory.clean, branch([""]), run.alphas, STEPS, 50)
        pairs = [
            reconstruct(trajectory, side([""]), engine.alphas) for engine, side in (ours, theirs)
        ]
    assert (other.latents - trajectory.latents).abs().max() < 1e-3
    assert (pairs[0] - pairs[1]).abs().max() < 1e-3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"inject_source": "self", "inject_cross": True, "background": "base"},
        {"attention": "adaptive", "style_blend": "temporal"},
    ],
    ids=["defaults", "released code", "adaptive and temporal"],
)
def test_ten_steps_with_two_styles_agree(settings, ours, theirs, trajectory, weights):
    first, second = (painted(engine, trajectory, weights, **settings) for engine in (ours, theirs))
    difference = float((first - second).abs().max())
    assert difference < 1e-3, f"largest difference {difference:.2e}"
    assert (first - trajectory.clean).abs().max() > 0.05


@pytest.mark.parametrize("source", ["base", "self"])
def test_a_lora_of_zeros_is_the_base_model(source, ours, short, diffusers_engine):
    """Same prompts and schedules: what the style paints is what the background paints."""
    run, branch = ours
    prompts = ["blue background", ""]
    settings = DiffStylerSettings(
        guidance=3.0, background="base", inject_source=source,
        base_feature_steps=0.6, base_attention_steps=0.5,
    )  # fmt: skip
    with torch.inference_mode():
        base = Base(branch([""]), branch(prompts))
        zeros = random_lora(diffusers_engine, seed=3, size=0.0)
        texts = diffusers_engine.encode_text([*prompts, ""])
        style = Style(run.branch(texts[:2], zeros), run.branch(texts[2:], zeros))
        results = [
            stylize(short, weight, [style], base, run.alphas, range(3, 12), settings)
            for weight in (torch.ones(1, 1, 1, 12, 14), torch.zeros(1, 1, 1, 12, 14))
        ]
    assert (results[0] - results[1]).abs().max() < 1e-5


def test_what_the_unet_computes_is_the_same_afterwards(ours, theirs, short, weights):
    for engine in (ours, theirs):
        plain = engine[1](["round glasses"])
        with torch.inference_mode():
            before = plain(short.clean, 481)
            painted(engine, short, weights)
            assert torch.equal(plain(short.clean, 481), before)
