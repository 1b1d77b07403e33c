"""Train Style LoRA, run as ComfyUI runs it, and ComfyUI's own LoRA nodes behind it."""

from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.usefixtures("as_in_a_node")


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture(scope="module")
def train(models, comfy_nodes):
    from visage.nodes.style_lora import VisageTrainStyleLora

    picture = torch.rand(1, 80, 64, 3, generator=torch.Generator().manual_seed(1))

    def run(steps=2, crops=False, rank=4, seed=0):
        return VisageTrainStyleLora.execute(
            *models, picture, "painting of <sss>", rank, steps, 1e-2, 64, crops, "auto", seed
        ).args

    return run


@pytest.fixture(scope="module")
def trained(train):
    with torch.inference_mode():
        return train()


def expected_noise(model, base):
    from visage.engines.comfyui.branches import ComfyUIRun

    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with ComfyUIRun(base, latent.shape) as run:
        return run.branch([[[torch.ones(1, 77, 48), {}]]], model)(latent, 481)


def test_the_lora_acts_in_the_stock_loader(trained, models, stock_training):
    lora, loss = trained
    assert len(loss["loss"]) == 2
    ((styled,), _) = stock_training("LoraModelLoader", models[0], lora, 1.0)
    assert len(styled.patches) == 16 * 8
    assert not models[0].patches
    before = expected_noise(models[0], models[0])
    assert (expected_noise(styled, models[0]) - before).abs().max() > 1e-3 * before.std()


def test_a_saved_lora_loads_as_any_other(trained, models, stock_training, comfy_nodes):
    import folder_paths

    stock_training("SaveLoRA", trained[0], "style")
    (file,) = Path(folder_paths.get_output_directory()).glob("style_*.safetensors")
    folder_paths.add_model_folder_path("loras", str(file.parent))
    styled, _ = comfy_nodes.LoraLoader().load_lora(models[0], models[1], file.name, 1.0, 0.0)
    ((direct,), _) = stock_training("LoraModelLoader", models[0], trained[0], 1.0)
    assert torch.equal(expected_noise(styled, models[0]), expected_noise(direct, models[0]))


def test_the_loss_is_plotted_by_the_stock_node(trained, stock_training):
    import folder_paths

    Path(folder_paths.get_temp_directory()).mkdir(exist_ok=True)
    _, shown = stock_training("LossGraphNode", trained[1], "loss")
    assert shown["images"]


def test_the_model_can_be_sampled_and_trained_again(train, models, comfy_nodes):
    before = {k: v.clone() for k, v in models[0].model.diffusion_model.state_dict().items()}
    train(steps=1, crops=True)
    after = models[0].model.diffusion_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_takes_every_seed_of_a_sampler(train, comfy_nodes):
    _, loss = train(steps=1, seed=2**64 - 1)
    assert torch.isfinite(torch.tensor(loss["loss"])).all()


def test_cancel_stops_it(train, comfy):
    import comfy.model_management

    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train()
