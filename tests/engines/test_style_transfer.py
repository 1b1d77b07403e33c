"""Style transfer and its guard on both engines: the same latents from the same files."""

import pytest
import torch
from visage.engines.diffusers.branches import DiffusersRun
from visage.techniques.attention_distillation import AttentionDistillation, distil_style
from visage.techniques.ddim_inversion import Trajectory
from visage.techniques.identity_guard import IdentityGuard, anchor_loss
from visage.techniques.query_preserving import transfer_style

CONTENT, STYLE = (2, 4, 12, 13), (1, 4, 9, 12)
TIMESTEPS = (661, 331, 1)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def guard():
    mask = torch.zeros(1, 1, *CONTENT[-2:])
    mask[..., 2:9, 3:10] = 1
    return IdentityGuard(noise(1, *CONTENT[1:], seed=5), mask)


@pytest.fixture
def ours(diffusers_engine):
    """Layers, schedule and branches for both sizes, of the diffusers engine."""
    runs = [DiffusersRun(diffusers_engine, shape) for shape in (CONTENT, STYLE)]
    text = diffusers_engine.encode_text([""]).detach()
    return [run.branch(text) for run in runs], runs[0].alphas, runs[0].attention_layers


def theirs(stack, model, prompt):
    from visage.engines.comfyui.branches import ComfyUIRun

    runs = [stack.enter_context(ComfyUIRun(model, shape)) for shape in (CONTENT, STYLE)]
    return [run.branch([prompt]) for run in runs], runs[0].alphas, runs[0].attention_layers


@pytest.mark.parametrize("guarded", [False, True])
def test_query_preserving_transfer_agrees(guarded, ours, comfyui_models, guard):
    from contextlib import ExitStack

    model, clip, _ = comfyui_models
    pictures = [
        Trajectory(TIMESTEPS, noise(4, *shape, seed=seed))
        for seed, shape in enumerate((CONTENT, STYLE))
    ]
    with torch.inference_mode(), ExitStack() as stack:
        results = [
            transfer_style(*pictures, *branches, alphas, layers, guard=guard if guarded else None)
            for branches, alphas, layers in (ours, theirs(stack, model, [[clip.encode(""), {}]]))
        ]
    assert (results[0] - results[1]).abs().max() < 1e-3
    assert (results[0] - pictures[0].clean).abs().max() > 0.05


@pytest.mark.parametrize("guarded", [False, True])
def test_attention_distillation_agrees(guarded, ours, comfyui_models, guard):
    """Gradients through ComfyUI's UNet, each block recomputed, from weights loaded as in a node."""
    from contextlib import ExitStack

    from visage.engines.comfyui.gradients import ordinary, private_copy, use_checkpointing

    model, clip, _ = comfyui_models
    with torch.inference_mode():
        prompt = [[clip.encode(""), {}]]
    copied = private_copy(model)
    use_checkpointing(copied.model.diffusion_model)
    settings = AttentionDistillation(steps=2)
    with ExitStack() as stack:
        results = [
            distil_style(
                noise(*CONTENT), noise(*STYLE, seed=1), *branches, alphas, layers, settings,
                guard if guarded else None,
            )
            for branches, alphas, layers in (ours, theirs(stack, copied, ordinary(prompt)))
        ]  # fmt: skip
    # Adam's first steps are signs of gradients, and where those are nearly 0 rounding decides.
    difference = (results[0] - results[1]).abs()
    assert float((difference > 1e-3).float().mean()) < 0.02
    assert (results[0] - noise(*CONTENT)).abs().max() > 0.05


@pytest.mark.parametrize("host", ["query-preserving", "attention distillation"])
def test_more_strength_keeps_more_of_the_person_and_less_of_the_style(host, ours, guard):
    """On the mean of a few faces: what the anchor says, and how far the unguarded result is."""
    branches, alphas, layers = ours
    contents, style = noise(4, *CONTENT, seed=11), noise(4, *STYLE, seed=12)
    kept, moved, results = [], [], []
    for strength in (0.0, 0.25, 0.5, 1.0):
        chosen = IdentityGuard(contents[-1][:1], guard.mask, strength)
        if host == "query-preserving":
            pictures = (Trajectory(TIMESTEPS, part) for part in (contents, style))
            result = transfer_style(*pictures, *branches, alphas, layers, guard=chosen)
        else:
            settings = AttentionDistillation(steps=5, learning_rate=0.1)
            start = contents[-1] + noise(*CONTENT, seed=13)
            result = distil_style(start, style[-1], *branches, alphas, layers, settings, chosen)
        results.append(result)
        kept.append(float(anchor_loss(result, chosen)))
        moved.append(float((result - results[0]).abs().mean()))
    assert kept == sorted(kept, reverse=True)
    assert moved == sorted(moved)
    assert moved[0] == 0


def test_the_users_model_is_untouched_by_gradients(comfyui_models):
    from visage.engines.comfyui.gradients import private_copy, use_checkpointing

    model = comfyui_models[0]
    unet = model.model.diffusion_model
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    copied = private_copy(model)
    use_checkpointing(copied.model.diffusion_model)
    with torch.no_grad():
        for weight in copied.model.diffusion_model.parameters():
            weight.zero_()
    assert copied.model.diffusion_model is not unet
    assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
    assert not any("forward" in vars(module) for module in unet.modules())
