"""A training loop that can be killed and resumed: atomic checkpoints, a curve, a progress bar."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.sampling import seeded_generator


class Stateful(Protocol):
    """Anything whose state a checkpoint carries: a network, an optimizer, averaged weights."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class AveragedWeights:
    """An exponential moving average of a network's floating-point weights, kept in fp32.

    torch's AveragedModel has no warm-up, and diffusers' EMAModel leaves out buffers such as batch
    normalisation's statistics. This class has both and a plain state_dict.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: torch.nn.Module) -> None:
        """Move the average towards the network; early updates weigh more, as a warm-up."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[key].lerp_(value, 1 - decay)
            else:
                self.weights[key].copy_(value)

    @contextmanager
    def applied_to(self, network: torch.nn.Module) -> Iterator[None]:
        """Give the network the averaged weights inside the block, and its own again after it."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state, on the device of the average."""
        self.steps = state["steps"]
        self.weights = {
            name: value.to(self.weights[name].device) for name, value in state["weights"].items()
        }


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the random generator of one step, which does not depend on the steps before it."""
    return seeded_generator(seed * 1_000_003 + step)


def cosine_rate(step: int, steps: int, warm_up: int = 100) -> float:
    """Return the fraction of the peak learning rate at `step`: linear warm-up, then a half cosine.

    Unlike torch's and diffusers' schedulers it has no state to save.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi))))


def optimizer_step(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    rate: float,
    parameters: Iterable[torch.nn.Parameter],
    max_norm: float = 1.0,
) -> None:
    """Take one optimizer step on `loss` at learning rate `rate`.

    The gradient of `parameters` is clipped to the norm `max_norm`.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()


def trapezoid_rate(step: int, steps: int, warm_up: int = 100, cool_down: float = 0.25) -> float:
    """Return the fraction of the peak learning rate: warm-up, a plateau, and a linear fall to 0.

    A run can be made longer from a checkpoint on the plateau: only the fall is repeated (Haegele
    et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations").
    """
    return min((step + 1) / warm_up, 1.0, (steps - step) / (steps * cool_down))


@dataclass(frozen=True)
class Run:
    """Where a training keeps its checkpoint and curve, and how often it writes them."""

    folder: Path
    name: str
    steps: int
    save_every: int = 250

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.pt"

    @property
    def curve(self) -> Path:
        return self.folder / f"{self.name}.jsonl"


def save_checkpoint(run: Run, step: int, parts: Mapping[str, Stateful]) -> None:
    """Write the parts' states under a temporary name, then rename: a kill leaves the old file."""
    state = {"step": step, **{name: part.state_dict() for name, part in parts.items()}}
    temporary = run.checkpoint.with_suffix(".pt.part")
    torch.save(state, temporary)
    os.replace(temporary, run.checkpoint)


def restore_checkpoint(run: Run, parts: Mapping[str, Stateful]) -> int:
    """Load the last checkpoint into `parts` and return its step, or 0 if there is none."""
    if not run.checkpoint.exists():
        return 0
    try:
        state = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{run.checkpoint} is damaged and cannot be resumed from: put a copy of it back, or "
            "delete it to start again."
        ) from error
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


def forget_curve_after(run: Run, step: int) -> None:
    """Remove the curve's lines of steps that will be repeated."""
    if not run.curve.exists():
        return
    lines = [line for line in run.curve.read_text().splitlines() if json.loads(line)["step"] < step]
    run.curve.write_text("".join(f"{line}\n" for line in lines))


def train(
    run: Run, parts: Mapping[str, Stateful], take_step: Callable[[int], dict[str, float]]
) -> None:
    """Call `take_step(step)` for every step that is left, and keep checkpoint and curve.

    If `take_step` draws its random numbers from `step_generator`, a resumed run has the same losses
    as one that was never interrupted.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    first = restore_checkpoint(run, parts)
    forget_curve_after(run, first)
    with (
        run.curve.open("a") as curve,
        tqdm(total=run.steps, initial=first, desc=run.name, mininterval=5) as bar,
    ):
        for step in range(first, run.steps):
            started = time.monotonic()
            figures = take_step(step)
            seconds = round(time.monotonic() - started, 3)
            curve.write(json.dumps({"step": step, **figures, "seconds": seconds}) + "\n")
            bar.set_postfix({key: f"{value:.4g}" for key, value in figures.items()}, refresh=False)
            bar.update()
            if (step + 1) % run.save_every == 0 or step + 1 == run.steps:
                curve.flush()
                save_checkpoint(run, step + 1, parts)
