"""The trainer as ComfyUI runs it: in inference mode, watched, interrupted and taken up again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from visage.models.face_edit import read_face_edit

SETTINGS = {
    "steps": 4,
    "batch": 2,
    "size": 64,
    "kv_learning_rate": 1e-3,
    "adapter_learning_rate": 1e-3,
    "micro_batch": 0,
    "alpha": 0.05,
    "adapter_strength": 0.3,
    "mask_sigma": 0.0,
    "training_seed": 42,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "save_every": 10,
    "validate_every": 0,
}


@pytest.fixture(scope="module")
def models(comfyui_models):
    return comfyui_models


@pytest.fixture(scope="module")
def node(comfy_nodes):
    from visage.nodes.train_face_edit import VisageTrainFaceEdit

    return VisageTrainFaceEdit


@pytest.fixture(scope="module")
def dataset(comfy_nodes):
    """A folder in ComfyUI's input folder, removed afterwards, as schemas list such folders."""
    import folder_paths

    folder = Path(folder_paths.get_input_directory()) / "faces"
    folder.mkdir(parents=True)
    for index in range(4):
        picture = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[16:48, 20:44] = 255
        Image.fromarray(picture).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"{index}.mask.png")
        (folder / f"{index}.txt").write_text("a face (smiling)")
    yield folder.name
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def train(node, models, dataset):
    def run(name, **changes):
        with torch.inference_mode():
            return node.execute(*models, dataset, name, **{**SETTINGS, **changes}).result

    return run


@pytest.fixture(scope="module")
def trained(train):
    return train("whole")


@pytest.fixture
def watched(monkeypatch):
    """What the node reports to ComfyUI's progress bar; `stop_at` interrupts there."""
    import comfy.model_management
    import comfy.utils

    class Watched(list):
        stop_at = None

    seen = Watched()

    def show(value, total, preview, node_id=None):
        seen.append((value, total, preview))
        if value == seen.stop_at:
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", show)
    # Newer versions leave out steps that follow one another within a tenth of a second.
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0, raising=False)
    return seen


def test_gives_a_model_an_adapter_the_losses_and_a_listed_file(trained, models, dataset):
    import folder_paths
    from visage.models import registry

    model, adapter, lora, loss, file = trained
    assert len(loss["loss"]) == 4 and all(np.isfinite(loss["loss"]))
    assert adapter.width == 48
    assert len(model.patches) == 32 and not models[0].patches
    assert file == "whole.safetensors" and file in registry.options("face_edit", folder_paths)
    weights = read_face_edit(registry.locate("face_edit", file, folder_paths))
    assert len(weights.kv) == len(lora) == 32
    assert any(delta.any() for delta in weights.kv.values())


def test_stock_nodes_take_the_lora_and_the_losses(trained, models, stock_training):
    import folder_paths

    (patched,), _ = stock_training("LoraModelLoader", models[0], trained[2], 1.0)
    assert patched.patches.keys() == trained[0].patches.keys()
    Path(folder_paths.get_temp_directory()).mkdir(exist_ok=True)
    assert stock_training("LossGraphNode", trained[3], "loss")[1]["images"]


def test_models_still_sample_afterwards(trained, models):
    with torch.inference_mode():
        text = models[1].encode_from_tokens(models[1].tokenize("a face"))
        shown = torch.zeros(1, 9, 8, 8)
        output = models[0].model.diffusion_model(shown, torch.tensor([10]), context=text)
    assert torch.isfinite(output).all()


def test_progress_shows_every_step(train, watched):
    train("watched")
    assert [value for value, *_ in watched] == [1, 2, 3, 4]


def test_the_curve_stays_on_the_node(node, models, dataset):
    with torch.inference_mode():
        output = node.execute(*models, dataset, "whole", **SETTINGS)
    (curve,) = output.ui["loss_curve"]
    assert [loss for _, loss in curve["points"]] == output.args[3]["loss"]


def test_interrupt_keeps_the_last_step_and_the_next_run_goes_on(train, trained, watched):
    import comfy.model_management

    watched.stop_at = 2
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train("stopped")
    watched.stop_at = None
    watched.clear()
    _, _, _, loss, _ = train("stopped")
    assert [value for value, *_ in watched] == [3, 4]
    assert loss == trained[3]


def test_folder_outside_the_input_folder(node, models):
    with pytest.raises(FileNotFoundError, match="no folder '../output'"):
        node.execute(*models, "../output", "escape", **SETTINGS)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_name_must_be_a_plain_file_name(node, name):
    assert "plain file name" in node.validate_inputs(name)
    assert node.validate_inputs("fine") is True
