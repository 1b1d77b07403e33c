"""ComfyUI's own networks learn as diffusers' do, and inside its inference mode."""

import pytest
import torch
from visage.engines.diffusers.training import load_trainable
from visage.training.face_edit.batches import Batch
from visage.training.face_edit.config import FaceEditConfig
from visage.training.face_edit.learner import FaceEditLearner


@pytest.fixture(scope="module")
def batch():
    random = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 2, 4, 8, 8, generator=random)
    concat = torch.rand(2, 5, 8, 8, generator=random)
    text = torch.randn(2, 77, 48, generator=random)
    return Batch(latents, concat, text, noise, torch.tensor([100, 800]))


@pytest.fixture(scope="module")
def both(comfyui_models, random_starter):
    """The same weights as a TrainableModel of each engine."""
    from visage.engines.comfyui.training import make_trainable

    with torch.inference_mode(), torch.inference_mode(False):
        return make_trainable(*comfyui_models), load_trainable(random_starter)


def gradients(model, batch, config=None):
    config = config or FaceEditConfig()
    learner = FaceEditLearner(model, config, torch.float32)
    # Inside a node everything else runs in inference mode.
    with torch.inference_mode(), torch.inference_mode(False):
        loss = learner(batch)
        return loss.item(), torch.autograd.grad(loss, list(model.projections.values()))


def test_same_weights_give_the_same_loss_and_gradients(both, batch):
    ours, theirs = both
    assert ours.projections.keys() == theirs.projections.keys()
    theirs_by_name = dict(zip(theirs.projections, gradients(theirs, batch)[1], strict=True))
    loss, found = gradients(ours, batch)
    assert loss == pytest.approx(gradients(theirs, batch)[0], rel=1e-4)
    for name, gradient in zip(ours.projections, found, strict=True):
        expected = theirs_by_name[name]
        assert (gradient - expected).abs().max() <= 1e-3 * expected.abs().max() + 1e-9, name


def test_schedule_scale_and_encoders_agree(both):
    ours, theirs = both
    assert torch.allclose(ours.schedule.sigmas, theirs.schedule.sigmas, rtol=1e-4)
    assert ours.latent_scale == theirs.latent_scale and ours.width == theirs.width
    assert ours.prediction == theirs.prediction == "epsilon"
    caption = "a face (with glasses), smiling"
    assert torch.allclose(ours.encode_text([caption]), theirs.encode_text([caption]), atol=1e-3)
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(ours.encode(image), theirs.encode(image), atol=1e-3)
    assert not ours.encode(image).is_inference()


def test_checkpointed_gradients_are_the_same(comfyui_models, both, batch):
    from visage.engines.comfyui.training import make_trainable

    saving = make_trainable(*comfyui_models)
    saving.use_checkpointing()
    loss, found = gradients(saving, batch)
    plain_loss, plain = gradients(both[0], batch)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, plain, strict=True))


def test_users_model_stays_as_it_is(comfyui_models, batch):
    from visage.engines.comfyui.training import make_trainable

    unet = comfyui_models[0].model.diffusion_model
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    model = make_trainable(*comfyui_models)
    with torch.no_grad():
        for value in model.projections.values():
            value.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_model_without_a_mask_channel_is_refused(four_channel_model, comfyui_models):
    from visage.engines.comfyui.training import make_trainable

    with pytest.raises(ValueError, match="takes 9 channels; this one .* takes 4"):
        make_trainable(four_channel_model, *comfyui_models[1:])
