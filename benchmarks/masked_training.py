"""Training of the face editor: the gain of the mask-weighted loss, the cost of a step, and whether
a killed run ends with the same losses.

The errors are measured in the starter world with the built-in models, on held-out people. A step's
time and memory are measured at Stable Diffusion 1.5's size with random weights and compared with
the paper's recipe in plain diffusers code: VAE and text encoder in every step, autocast over
float32 weights.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor, nn

from ..engines.diffusers import DiffusersEngine
from ..engines.diffusers.training import load_trainable, make_trainable
from ..engines.single_file import SD1_SCHEDULER
from ..evaluation.face_edit import interval
from ..models.starter_files import STARTER
from ..techniques.mask_weighted_loss import mask_weighted_loss
from ..techniques.text_adapter import FaceAwareTextAdapter, adapt_text
from ..training.face_edit.batches import Batch, StepBatches
from ..training.face_edit.cache import Cache, fill_cache
from ..training.face_edit.config import FaceEditConfig
from ..training.face_edit.dataset import read_dataset
from ..training.face_edit.learner import FaceEditLearner
from ..training.face_edit.stepper import Stepper
from ..training.face_edit.trainer import make_accelerator, train_face_edit
from ..world.export import export_portraits
from . import say
from .face_edit import peak_memory, sd15_engine

SIZE = 128
CAPTION = "a photo of a smiling woman with glasses"


def run(quick: bool) -> dict[str, float]:
    """Measure all figures, by name; memory is left out if it cannot be measured."""
    with tempfile.TemporaryDirectory(prefix="visage-bench-") as folder:
        work = Path(folder)
        figures = _face_error(work, quick)
        figures["resume_loss_max_abs"] = _resume(work)
    return figures | _cost(quick)


# The loss.


def _face_error(work: Path, quick: bool) -> dict[str, float]:
    """Held-out error in the face after training with the mask-weighted loss, less that with the
    plain one (same steps, seed and data), and the upper end of its 95 % interval."""
    steps, learned, held_out, draws = (10, 24, 8, 2) if quick else (200, 400, 150, 6)
    say(f"{learned} and {held_out} portraits of other people, twice {steps} steps at {SIZE} px")
    data, unseen = work / "data", work / "unseen"
    for folder, count, split in ((data, learned, "train"), (unseen, held_out, "test")):
        for _ in export_portraits(folder, count, SIZE, split, "photo", workers=1):
            pass
    errors = {}
    for loss in ("mask-weighted", "plain"):
        config = FaceEditConfig(
            size=SIZE,
            batch=16,
            steps=steps,
            loss=loss,
            kv_learning_rate=2e-4,
            adapter_learning_rate=4e-4,
            evaluation_share=0.0,
            validate_every=0,
            precision="bf16" if torch.cuda.is_available() else "fp32",
        )
        model, accelerator = load_trainable(STARTER), make_accelerator()
        train_face_edit(model, data, config, work / loss, work / "cache", None, accelerator)
        cache = fill_cache(read_dataset(unseen), model, config, work / "cache", accelerator)
        # The trained weights are still in the model; the adapter comes from its checkpoint.
        learner = FaceEditLearner(model, config, torch.float32)
        state = torch.load(work / loss / "losses.pt", weights_only=True)
        if learner.adapter is not None:
            learner.adapter.load_state_dict(state["adapter"])
        errors[loss] = _held_out_errors(learner.to(accelerator.device), cache, config, draws)
        say(f"  {loss}: {errors[loss].mean():.5f}")
    difference = errors["mask-weighted"] - errors["plain"]
    mean, low, high = interval(difference.tolist())
    say(f"  difference {mean:.6f}, 95 % interval [{low:.6f}, {high:.6f}]")
    return {"face_error_delta": mean, "face_error_delta_ci_high": high}


@torch.no_grad()
def _held_out_errors(
    learner: FaceEditLearner, cache: Cache, config: FaceEditConfig, draws: int
) -> np.ndarray:
    """Mean squared error inside the mask for each picture, over `draws` epochs."""
    batch = 8
    settings = FaceEditConfig(size=config.size, batch=batch, seed=1, flip=0.0)
    steps = draws * len(cache.examples) // batch
    batches = StepBatches(cache, settings, len(learner.alphas))
    errors: dict[str, list[float]] = {}
    for step in range(steps):
        part = batches[step].to(learner.alphas.device)
        predicted, target = learner.predict(part)
        error = ((predicted - target).square() * part.mask).sum(dim=(1, 2, 3))
        error = error / (part.mask.sum(dim=(1, 2, 3)) * predicted.shape[1])
        for name, value in zip(batches.names(step), error.tolist(), strict=True):
            errors.setdefault(name, []).append(value)
    return np.array([statistics.fmean(errors[name]) for name in sorted(errors)])


# The kill.

_KILLED = """
import sys
from pathlib import Path
from visage.benchmarks.masked_training import resume_run
resume_run(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), print_steps=True)
"""


def resume_run(data: Path, folder: Path, cache: Path, print_steps: bool = False) -> list[float]:
    """A short run on the CPU; with print_steps it prints each step and then waits to be killed."""

    def on_step(progress) -> None:
        print(progress.step, flush=True)
        if progress.step == 5:
            time.sleep(3600)

    config = FaceEditConfig(size=SIZE, batch=4, steps=8, save_every=3, validate_every=0)
    model, accelerator = load_trainable(STARTER), make_accelerator(cpu=True)
    watch = on_step if print_steps else None
    return train_face_edit(
        model, data, config, folder, cache, None, accelerator, resume=True, on_step=watch
    )[1]


def _resume(work: Path) -> float:
    """The largest difference between the losses of a run that was killed and resumed, and those of
    a run without interruption."""
    say("a run of 8 steps, and one killed after 5")
    data, cache = work / "data", work / "cache"
    whole = resume_run(data, work / "whole", cache)
    command = [sys.executable, "-c", _KILLED, data, work / "killed", cache]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        for line in process.stdout:
            if line.strip() == "5":
                os.kill(process.pid, signal.SIGKILL)
    resumed = resume_run(data, work / "killed", cache)
    return max(abs(a - b) for a, b in zip(whole, resumed, strict=True))


# Time and memory, at SD 1.5's size.

RECIPES = ("plain", "ours", "saving")


def _cost(quick: bool) -> dict[str, float]:
    """step_speedup and step_memory_ratio of our step over the plain recipe's, and those of the
    memory-saving mode as saving_speedup and saving_memory_ratio."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch, size = (16, 512) if device.type == "cuda" else (1, 128 if quick else 256)
    repeats = 1 if quick else 3
    say(f"SD 1.5's size, random weights, on {device}: batch {batch} at {size} px, {repeats} steps")
    takers = {name: make_step(name, batch, size, device) for name in RECIPES}
    seconds: dict[str, list[float]] = {name: [] for name in RECIPES}
    for repeat in range(-1, repeats):  # the first round warms up
        for name, take in takers.items():
            elapsed = _timed(take, device)
            if repeat >= 0:
                seconds[name].append(elapsed)
    del takers
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peaks = {name: _peak_alone(name, batch, size) for name in RECIPES}
    for name in RECIPES:
        say(f"  {name}: {medians[name]:.2f} s a step, {peaks[name] / 2**30:.2f} GiB")
    figures = {
        "step_speedup": medians["plain"] / medians["ours"],
        "saving_speedup": medians["plain"] / medians["saving"],
    }
    if peaks["plain"]:
        figures["step_memory_ratio"] = peaks["ours"] / peaks["plain"]
        figures["saving_memory_ratio"] = peaks["saving"] / peaks["plain"]
    return figures


def _timed(take: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    take()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


_ALONE = """
import sys
from visage.benchmarks.masked_training import print_peak
print_peak(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


def _peak_alone(recipe: str, batch: int, size: int) -> int:
    """Peak memory of two steps of a recipe in bytes, in a process of its own."""
    command = [sys.executable, "-c", _ALONE, recipe, str(batch), str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return int(done.stdout.split()[-1])


def print_peak(recipe: str, batch: int, size: int) -> None:
    """Print the peak memory during two steps in bytes; 0 if it cannot be measured."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    take = make_step(recipe, batch, size, device)
    with peak_memory(device) as peak:
        take()
        take()
        print(peak())


def make_step(recipe: str, batch: int, size: int, device: torch.device) -> Callable[[], None]:
    """Make a function that takes one training step of "plain", "ours" or "saving"."""
    with torch.no_grad():
        engine = sd15_engine(torch.device("cpu"))
    if recipe == "plain":
        return _plain_step(engine, batch, size, device)
    config = FaceEditConfig(
        batch=batch,
        size=size,
        precision="fp16" if device.type == "cuda" else "bf16",
        gradient_checkpointing=recipe == "saving",
    )
    stepper = Stepper(make_trainable(engine, SD1_SCHEDULER, ""), config, make_accelerator())
    side, width = size // 8, engine.width
    # A batch as the cache holds it; reading it from disk takes milliseconds.
    stored = Batch(
        latents=torch.randn(batch, 4, side, side),
        concat=torch.rand(batch, 5, side, side),
        text=torch.randn(batch, 77, width),
        noise=torch.randn(batch, 4, side, side),
        timesteps=torch.randint(1000, (batch,)),
    )
    return lambda: stepper.take(stored)


def _plain_step(
    engine: DiffusersEngine, batch: int, size: int, device: torch.device
) -> Callable[[], None]:
    """The paper's recipe in plain diffusers code: encoders in every step, float32 weights."""
    unet, vae, text_encoder = engine.unet, engine.vae, engine.text_encoder
    for part in (unet, vae, text_encoder):
        nn.Module.to(part.requires_grad_(False), device)
    names = ("attn2.to_k.weight", "attn2.to_v.weight")
    projections = [value for name, value in unet.named_parameters() if name.endswith(names)]
    for value in projections:
        value.requires_grad_(True)
    adapter = FaceAwareTextAdapter(engine.width).to(device)
    optimizer = torch.optim.AdamW(
        [{"params": projections, "lr": 5e-5}, {"params": adapter.parameters(), "lr": 1e-4}]
    )
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
    scheduler = DDPMScheduler.from_config(SD1_SCHEDULER)
    pixels = torch.rand(batch, 3, size, size, device=device) * 2 - 1
    mask = torch.zeros(batch, 1, size, size, device=device)
    mask[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    ids = engine.tokenizer(
        [CAPTION] * batch, padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids.to(device)

    def encode(pictures: Tensor) -> Tensor:
        return vae.encode(pictures).latent_dist.sample() * vae.config.scaling_factor

    def take() -> None:
        with torch.autocast(device.type, half):
            with torch.no_grad():
                latents, masked = encode(pixels), encode(pixels * (mask < 0.5))
                text = text_encoder(ids).last_hidden_state
            cells = F.interpolate(mask, latents.shape[-2:])
            noise = torch.randn_like(latents)
            timesteps = torch.randint(1000, (batch,), device=device)
            noisy = scheduler.add_noise(latents, noise, timesteps)
            text = adapt_text(text, mask.squeeze(1), adapter)
            shown = torch.cat((noisy, cells, masked), dim=1)
            predicted = unet(shown, timesteps, text).sample
            loss = mask_weighted_loss(predicted.float(), noise.float(), cells)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return take
