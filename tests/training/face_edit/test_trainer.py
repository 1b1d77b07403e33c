"""A training run: what learns, what does not, and that a kill costs nothing."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from visage.engines.diffusers import DiffusersEngine
from visage.engines.diffusers.training import load_trainable
from visage.models.face_edit import read_face_edit
from visage.techniques.mask_weighted_loss import mask_weighted_loss
from visage.training.face_edit.batches import Batch
from visage.training.face_edit.config import FaceEditConfig
from visage.training.face_edit.learner import FaceEditLearner
from visage.training.face_edit.stepper import Stepper
from visage.training.face_edit.trainer import make_accelerator, train_face_edit

SETTINGS = {
    "size": 64,
    "batch": 4,
    "steps": 6,
    "save_every": 2,
    "validate_every": 0,
    "kv_learning_rate": 1e-3,
    "adapter_learning_rate": 1e-3,
}
CONFIG = FaceEditConfig(**SETTINGS)
SCRIPT = """
import sys, time
from pathlib import Path
from visage.engines.diffusers.training import load_trainable
from visage.training.face_edit.config import FaceEditConfig
from visage.training.face_edit.trainer import make_accelerator, train_face_edit
from visage.training.face_edit.stepper import Stepper
base, data, settings, folder, cache = sys.argv[1:6]
def on_step(progress):
    if progress.step == 5:
        print("waiting", flush=True)
        time.sleep(600)
config = FaceEditConfig(**__import__("json").loads(settings))
train_face_edit(load_trainable(base), data, config, folder, cache, None, make_accelerator(True),
                on_step=on_step if len(sys.argv) > 6 else None)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Shared by all runs: the pictures are encoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def train(random_starter, pairs, cache):
    """Trains in this process; returns the losses and the result's file."""

    def run(folder, config=CONFIG, dataset=pairs, **more):
        model = load_trainable(random_starter)
        result, losses = train_face_edit(
            model, dataset, config, folder, cache, None, make_accelerator(cpu=True), **more
        )
        return losses, result

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """A run that was never interrupted."""
    return train(tmp_path_factory.mktemp("run") / "whole")


def curve(folder):
    return [json.loads(line)["loss"] for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_losses_after_a_kill_are_those_of_an_uninterrupted_run(
    whole, train, random_starter, pairs, cache, tmp_path
):
    command = [sys.executable, "-c", SCRIPT, random_starter, pairs, json.dumps(SETTINGS)]
    process = subprocess.Popen(  # noqa: S603
        [*command, tmp_path, cache, "wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout.readline() == b"waiting\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(curve(tmp_path)) == 5  # the last checkpoint is of step 4
    losses, result = train(tmp_path, resume=True)
    assert losses == whole[0] == curve(tmp_path)
    resumed, uninterrupted = read_face_edit(result), read_face_edit(whole[1])
    assert all(torch.equal(value, uninterrupted.kv[name]) for name, value in resumed.kv.items())


def test_two_processes_give_the_losses_of_one(whole, random_starter, pairs, cache, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    arguments = [random_starter, pairs, json.dumps(SETTINGS), tmp_path / "run", cache]
    # The launcher's only way to start several processes without MPI; this puts them on the CPU.
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603
        [*launch, script, *arguments], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert curve(tmp_path / "run") == pytest.approx(whole[0], rel=1e-4)
    ours, theirs = read_face_edit(whole[1]), read_face_edit(tmp_path / "run/face_edit.safetensors")
    for name, value in ours.kv.items():
        assert (value - theirs.kv[name]).abs().max() < 0.1 * value.abs().max()


def test_only_kv_and_adapter_learn(random_starter, train, tmp_path):
    model = load_trainable(random_starter)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    config = replace(CONFIG, steps=2)
    _, result = train(tmp_path, config)
    weights = read_face_edit(result)
    assert len(weights.kv) == 32
    assert all("attn2.to_k" in name or "attn2.to_v" in name for name in weights.kv)
    assert any(delta.any() for delta in weights.kv.values())
    assert weights.adapter["w2.weight"].any()
    frozen = [name for name, value in model.network.named_parameters() if not value.requires_grad]
    assert len(frozen) == len(before) - 32
    assert weights.metadata["visage.steps"] == "2"
    assert json.loads(weights.metadata["visage.config"])["alpha"] == 0.05
    assert len(weights.metadata["visage.base_sha256"]) == 64


def test_result_fits_the_diffusers_engine(whole, random_starter):
    weights = read_face_edit(whole[1])
    plain = DiffusersEngine.load(random_starter)
    tuned = DiffusersEngine.load(random_starter, weights)
    own = dict(plain.unet.named_parameters())
    for name, value in tuned.unet.named_parameters():
        expected = own[name] + weights.kv[name].float() if name in weights.kv else own[name]
        assert torch.allclose(value, expected, atol=1e-6)


def test_stock_lora_loader_applies_the_kv_part(whole, comfy_nodes, comfy, random_starter):
    import comfy.utils
    import folder_paths
    from visage.engines.comfyui.starter import load_starter

    folder = folder_paths.get_folder_paths("loras")[0]
    os.makedirs(folder, exist_ok=True)
    os.symlink(whole[1], f"{folder}/trained_face_edit.safetensors")
    with torch.inference_mode():
        model, clip, _ = load_starter(random_starter)
        loaded, _ = comfy_nodes.LoraLoader().load_lora(
            model, clip, "trained_face_edit.safetensors", 1.0, 0.0
        )
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    kv = read_face_edit(whole[1]).kv
    assert set(loaded.patches) == {f"diffusion_model.{names[name]}" for name in kv}


def test_micro_batches_give_the_losses_of_the_whole_batch(whole, train, tmp_path):
    losses, _ = train(tmp_path, replace(CONFIG, micro_batch=1, steps=3))
    assert losses == pytest.approx(whole[0][:3], rel=1e-4)


def test_checkpointed_gradients_give_the_same_losses(whole, train, tmp_path):
    losses, _ = train(tmp_path, replace(CONFIG, gradient_checkpointing=True, steps=3))
    assert losses == pytest.approx(whole[0][:3], rel=1e-4)


def test_bfloat16_stays_close(whole, train, tmp_path):
    losses, _ = train(tmp_path, replace(CONFIG, precision="bf16", steps=2))
    assert losses == pytest.approx(whole[0][:2], rel=0.05)


def test_interrupted_run_keeps_a_checkpoint_of_its_last_step(whole, train, tmp_path):
    def stop(progress):
        if progress.step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(tmp_path, on_step=stop)
    assert torch.load(tmp_path / "losses.pt", weights_only=True)["step"] == 3
    assert train(tmp_path, resume=True)[0] == whole[0]


def test_what_stops_a_step_leaves_the_steps_before_it(whole, train, tmp_path, monkeypatch):
    """ComfyUI's layers raise, from 0.33 on, when the user interrupts the run."""
    take, taken = Stepper.take, []

    def interrupted(self, *args):
        taken.append(args)
        if len(taken) == 4:
            raise InterruptedError
        return take(self, *args)

    monkeypatch.setattr(Stepper, "take", interrupted)
    with pytest.raises(InterruptedError):
        train(tmp_path)
    monkeypatch.undo()
    assert torch.load(tmp_path / "losses.pt", weights_only=True)["step"] == 3
    assert train(tmp_path, resume=True)[0] == whole[0]


def test_run_draws_its_curve_and_validation_pictures(train, tmp_path):
    config = replace(CONFIG, steps=2, validate_every=1, validation_images=2, validation_steps=2)
    train(tmp_path, config)
    assert (tmp_path / "losses.png").stat().st_size > 1000
    names = sorted(path.name for path in (tmp_path / "validation").iterdir())
    assert names == ["step_000001.png", "step_000002.png"]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_other_settings_are_not_resumed(whole, train):
    folder = whole[1].parent
    with pytest.raises(ValueError, match="already holds a run"):
        train(folder)
    with pytest.raises(ValueError, match=r"alpha \(0.05, now 0.1\)"):
        train(folder, replace(CONFIG, alpha=0.1), resume=True)


def test_bad_examples_are_left_out_or_stop_the_run(train, write_pairs, tmp_path, caplog):
    folder = write_pairs(tmp_path / "data", 4)
    (folder / "face1.png").write_text("hello")
    config = replace(CONFIG, steps=1, evaluation_share=0.0)
    losses, result = train(tmp_path / "skip", config, folder)
    assert len(losses) == 1
    assert read_face_edit(result).metadata["visage.examples"] == "3"
    lines = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(lines) == 1 and "face1.png" in lines[0]
    with pytest.raises(ValueError, match="face1.png"):
        train(tmp_path / "stop", replace(config, bad_data="stop"), folder)


def test_nothing_usable_stops_the_run(train, write_pairs, tmp_path):
    folder = write_pairs(tmp_path / "data", 2)
    for file in folder.glob("*.txt"):
        file.unlink()
    with pytest.raises(ValueError, match=r"None of 2 examples .*\.txt: the caption is missing"):
        train(tmp_path / "run", replace(CONFIG, evaluation_share=0.0), folder)


def test_batch_that_cannot_be_shared():
    with pytest.raises(ValueError, match="batch of 4 .* micro-batches of 3"):
        train_face_edit(
            None, "", replace(CONFIG, micro_batch=3), "", accelerator=make_accelerator()
        )


class TestLoss:
    def test_weights_of_face_and_background(self):
        mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
        error = torch.ones(1, 4, 1, 2)
        assert mask_weighted_loss(error, 0 * error, mask) == pytest.approx((1.05 + 0.05) / 2)

    def test_v_prediction_learns_the_velocity(self, random_starter):
        model = load_trainable(random_starter)
        learner = FaceEditLearner(model, replace(CONFIG, prediction="v_prediction"), torch.float32)
        latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        text = torch.zeros(1, 77, model.width)
        batch = Batch(latents, torch.zeros(1, 5, 8, 8), text, noise, torch.tensor([500]))
        with torch.no_grad():
            _, target = learner.predict(batch)
        alpha = 1 / (1 + model.schedule.sigmas[500] ** 2)
        expected = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        assert torch.allclose(target, expected, atol=1e-6)
