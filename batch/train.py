"""A training on many machines: Ray Train starts the processes and accelerate connects them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cluster import ray_cluster


def run_together(task: Callable[[], Any], workers: int, address: str | None, folder: Path) -> None:
    """Run a function in several processes of a cluster, with a GPU each if the cluster has any.

    In them accelerate works as under `accelerate launch`. `folder`, which all machines must share,
    gets Ray's records. Raises what the function raised in the first process that failed, and
    ValueError as `ray_cluster` or for more processes than GPUs.
    """
    with ray_cluster(address, workers) as ray:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        gpus = int(ray.cluster_resources().get("GPU", 0))
        if gpus and workers > gpus:
            raise ValueError(f"{workers} processes need as many GPUs, and the cluster has {gpus}")
        trainer = TorchTrainer(
            _on_gpus(task) if gpus else _on_cpus(task),
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=bool(gpus)),
            run_config=RunConfig(name="ray", storage_path=str(folder.resolve())),
        )
        try:
            trainer.fit()
        except Exception as error:
            failures = getattr(error, "worker_failures", None) or {}
            causes = [getattr(f, "cause", f) for _, f in sorted(failures.items())]
            ours = [c for c in causes if isinstance(c, (ValueError, FileNotFoundError))]
            if not ours:
                raise
            raise ours[0] from error


def _on_gpus(task: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        task()

    return run


def _on_cpus(task: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        # Otherwise accelerate expects a GPU for each of several processes.
        os.environ["ACCELERATE_USE_CPU"] = "true"
        task()

    return run
