"""The training loop of the face editor, on one or more devices; a killed run can be resumed.

A run's folder holds run.json (the model, data and settings), losses.jsonl and losses.png,
losses.pt (the last checkpoint), TensorBoard's files, the validation pictures and, at the end,
face_edit.safetensors.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import is_tensorboard_available
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ...engines.trainable import TrainableModel
from ...models.face_edit import write_face_edit
from ...models.face_parser import FaceParser
from ..curve_plot import draw_curve
from ..loop import Run, cosine_rate, forget_curve_after, restore_checkpoint, save_checkpoint
from .batches import StepBatches
from .cache import Cache, fill_cache
from .config import FaceEditConfig
from .dataset import read_dataset, split_dataset
from .stepper import Stepper
from .validation import draw_validation

RESULT = "face_edit.safetensors"
SETTINGS = "run.json"
# Settings that may differ in a resumed run, since none of them changes a step.
_FREE = ("epochs", "steps", "save_every", "validate_every", "validation_images", "workers")
PNG_EVERY = 50
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """A finished step out of `steps`: its loss, seconds, memory in MiB, and all losses so far."""

    step: int
    steps: int
    loss: float
    seconds: float
    memory: float
    losses: list[float]


def make_accelerator(cpu: bool = False) -> Accelerator:
    """Make an Accelerator without mixed precision: `FaceEditConfig.precision` decides it."""
    return Accelerator(cpu=cpu, mixed_precision="no")


def train_face_edit(
    model: TrainableModel,
    dataset: Path,
    config: FaceEditConfig,
    folder: Path,
    cache: Path | None = None,
    parser: FaceParser | None = None,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    on_step: Callable[[Progress], None] | None = None,
) -> tuple[Path, list[float]]:
    """Train on the training split of `dataset`; return the result's file and the losses.

    on_step is called after every step on the main process. If it raises, the run ends with a
    checkpoint of that step. Raises ValueError or FileNotFoundError for bad data or settings, and
    for a folder that holds another run.
    """
    accelerator = accelerator or make_accelerator()
    _check_batch(config, accelerator.num_processes)
    folder, cache = Path(folder), Path(cache or Path(folder) / "cache")
    training, evaluation = split_dataset(
        read_dataset(dataset, config.parts), config.evaluation_share, config.seed
    )
    fill = (model, config, cache, accelerator, parser)
    learned = fill_cache(training, *fill)
    shown = fill_cache(evaluation[: config.validation_images], *fill)
    run = Run(folder, "losses", _steps(config, len(learned.examples)), config.save_every)
    about = {
        "config": config.to_dict(),
        "unet": model.unet_key,
        "data": learned.key,
        "examples": len(learned.examples),
    }
    _claim(folder, about, resume, accelerator)
    trainer = _Trainer(model, config, run, accelerator, learned, shown, on_step)
    losses = trainer.train()
    metadata = {
        "visage.base_sha256": model.unet_key,
        "visage.data_sha256": learned.key,
        "visage.examples": str(len(learned.examples)),
        "visage.steps": str(run.steps),
        "visage.config": json.dumps(config.to_dict()),
    }
    result = folder / RESULT
    if accelerator.is_main_process:
        kv, adapter = trainer.result()
        write_face_edit(result, kv, adapter, metadata, overwrite=True)
    accelerator.wait_for_everyone()
    return result, losses


class _Trainer:
    """One process's part of a run."""

    def __init__(
        self,
        model: TrainableModel,
        config: FaceEditConfig,
        run: Run,
        accelerator: Accelerator,
        learned: Cache,
        shown: Cache,
        on_step: Callable[[Progress], None] | None,
    ) -> None:
        self.model, self.config, self.run, self.accelerator = model, config, run, accelerator
        self.learned, self.shown, self.on_step = learned, shown, on_step
        self.before = {name: value.detach().clone() for name, value in model.projections.items()}
        self.stepper = Stepper(model, config, accelerator)
        self.learner = self.stepper.learner
        self.checkpointed = {
            "projections": _Projections(model.projections),
            "optimizer": self.stepper.optimizer,
            "scaler": self.stepper.scaler,
        }
        if self.learner.adapter is not None:
            self.checkpointed["adapter"] = self.learner.adapter

    def train(self) -> list[float]:
        """Take the steps that are left; return the losses of all steps."""
        run, main = self.run, self.accelerator.is_main_process
        first = restore_checkpoint(run, self.checkpointed)
        if main:
            forget_curve_after(run, first)
        losses = [record["loss"] for record in _read_curve(run.curve)] if main else []
        batches = iter(self._batches(first))
        board = _tensorboard(run.folder / "tensorboard", first) if main else None
        bar = tqdm(total=run.steps, initial=first, desc="train", disable=not main, mininterval=1)
        with contextlib.closing(bar), contextlib.ExitStack() as stack:
            curve = stack.enter_context(run.curve.open("a")) if main else None
            if board:
                stack.callback(board.close)
            for step in range(first, run.steps):
                begun = time.monotonic()
                with self._kept_if_stopped(step, first):
                    loss = self.stepper.take(next(batches), self._rate(step))
                seconds = time.monotonic() - begun
                memory = memory_in_use(self.accelerator.device)
                if curve:
                    losses.append(loss)
                    record = {"step": step, "loss": loss, "seconds": round(seconds, 3)}
                    curve.write(json.dumps(record) + "\n")
                    curve.flush()
                    bar.set_postfix(loss=f"{loss:.4g}", MiB=f"{memory:.0f}", refresh=False)
                    bar.update()
                    if board:
                        board.add_scalar("loss", loss, step)
                        board.add_scalar("seconds", seconds, step)
                last = step + 1 == run.steps
                saved = (step + 1) % run.save_every == 0 or last
                if main and saved:
                    save_checkpoint(run, step + 1, self.checkpointed)
                if main and (last or (step + 1) % PNG_EVERY == 0):
                    picture = draw_curve(range(len(losses)), losses)
                    Image.fromarray(picture).save(run.folder / "losses.png")
                with self._kept_if_stopped(step + 1, step + 1 if saved else first):
                    if main and self._validates(step + 1, last):
                        self._validate(step + 1, board)
                    if main and self.on_step is not None:
                        self.on_step(Progress(step + 1, run.steps, loss, seconds, memory, losses))
        return losses

    def result(self) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Differences of the K/V weights and the adapter's weights, in half precision."""
        kv = {
            name: (value.detach().cpu() - self.before[name].cpu()).half()
            for name, value in self.model.projections.items()
        }
        if self.learner.adapter is None:
            return kv, None
        weights = self.learner.adapter.state_dict()
        return kv, {name: value.cpu().half() for name, value in weights.items()}

    def _batches(self, first: int) -> DataLoader:
        accelerator, workers = self.accelerator, self.config.workers
        timesteps = len(self.model.schedule.sigmas)
        process = (accelerator.process_index, accelerator.num_processes)
        return DataLoader(
            StepBatches(self.learned, self.config, timesteps, *process),
            batch_size=None,
            sampler=range(first, self.run.steps),
            num_workers=workers,
            pin_memory=accelerator.device.type == "cuda",
        )

    def _rate(self, step: int) -> float:
        """The fraction of the peak learning rates at `step`."""
        config = self.config
        if config.schedule == "cosine":
            return cosine_rate(step, self.run.steps, max(1, config.warm_up))
        return min(1.0, (step + 1) / max(1, config.warm_up))

    def _validates(self, done: int, last: bool) -> bool:
        every = self.config.validate_every
        return bool(every and self.shown.examples) and (done % every == 0 or last)

    def _validate(self, done: int, board) -> None:
        with self.stepper.autocast():
            grid = draw_validation(
                self.learner,
                self.model,
                self.shown,
                self.config.validation_steps,
                self.accelerator.device,
            )
        folder = self.run.folder / "validation"
        folder.mkdir(exist_ok=True)
        picture = (grid * 255).round().byte()
        Image.fromarray(picture.numpy()).save(folder / f"step_{done:06}.png")
        if board:
            board.add_image("validation", picture, done, dataformats="HWC")

    @contextlib.contextmanager
    def _kept_if_stopped(self, done: int, saved: int) -> Iterator[None]:
        """Save what `done` steps learned, of which `saved` are saved, when the block raises.

        The callback may stop the run, and ComfyUI's layers do when the user interrupts it; both
        leave the weights as the last whole step made them.
        """
        try:
            yield
        except KeyboardInterrupt:  # perhaps in the middle of an update
            raise
        except BaseException:
            if self.accelerator.is_main_process and done > saved:
                save_checkpoint(self.run, done, self.checkpointed)
            raise


class _Projections:
    """The K/V weights in the form that a checkpoint holds."""

    def __init__(self, projections: dict[str, torch.nn.Parameter]) -> None:
        self.projections = projections

    def state_dict(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.projections.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            self.projections[name].copy_(value)


def memory_in_use(device: torch.device) -> float:
    """MiB in use: a GPU's peak so far, or the process's current memory on a CPU (0: unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0.0
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _check_batch(config: FaceEditConfig, processes: int) -> None:
    part, left = divmod(config.batch, processes)
    if left or not part or (config.micro_batch and part % config.micro_batch):
        raise ValueError(
            f"A batch of {config.batch} cannot be split over {processes} processes in "
            f"micro-batches of {config.micro_batch or part}: choose numbers that divide it."
        )


def _steps(config: FaceEditConfig, examples: int) -> int:
    return config.steps or max(1, config.epochs * examples // config.batch)


def _claim(folder: Path, about: dict[str, Any], resume: bool, accelerator: Accelerator) -> None:
    """Mark the folder as this run's; raises ValueError if it belongs to another run."""
    marker = folder / SETTINGS
    found = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else None
    accelerator.wait_for_everyone()
    if found is None:
        if accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps(about, indent=2), encoding="utf-8")
        return
    if not resume:
        raise ValueError(
            f"{folder} already holds a run. Resume it, or name another folder for a new one."
        )
    differences = sorted(_differences(found, about))
    if differences:
        raise ValueError(
            f"The run in {folder} cannot be resumed with other settings; they differ in "
            f"{', '.join(differences)}. Give those of {marker}, or name another folder."
        )


def _differences(found: dict[str, Any], about: dict[str, Any]) -> Iterator[str]:
    old, new = found.pop("config"), dict(about)
    config = new.pop("config")
    for before, after in ((old, config), (found, new)):
        for name in before.keys() | after.keys():
            if name not in _FREE and before.get(name) != after.get(name):
                yield f"{name} ({before.get(name)}, now {after.get(name)})"


def _read_curve(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _tensorboard(folder: Path, first: int):
    """A TensorBoard writer, or None and a logged line where TensorBoard is not installed."""
    if not is_tensorboard_available():
        log.info("TensorBoard is not installed: the curve is only in losses.jsonl and losses.png")
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first)
