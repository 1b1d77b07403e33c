"""Ray, as a small cluster on this machine or an existing one."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Enough for the small rows and single pictures that pass through it.
OBJECT_STORE_BYTES = 256 * 2**20
# Reading tasks and workers take fractions of CPUs; with fewer than four one can starve the other.
MIN_CPUS = 4
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    # Ray would warn of arguments in its object store, which are meant to stay there.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


def require_ray() -> None:
    """Raise ValueError if Ray is not installed; the message says how to install it."""
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise ValueError(
            "this needs Ray Data, which is not installed: pip install -e '.[scale]' in Visage's "
            "folder. For one or two running ComfyUI servers, `visage queue` needs no Ray."
        )


@contextmanager
def ray_cluster(address: str | None = None, workers: int = 1) -> Iterator[Any]:
    """Connect to the cluster at `address`, or start one on this machine; yields Ray's module.

    A cluster on this machine listens on the loopback interface alone and ends with the block; its
    CPUs are divided among `workers`. Raises ValueError when Ray is not installed, the cluster does
    not answer, or it has another version of Ray or Python.
    """
    require_ray()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address is None:
        # Ray reads this at import; it then binds its ports to 127.0.0.1.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # By default Ray gives one thread to a worker that asks for less than a CPU.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    import ray

    already = ray.is_initialized()
    if not already:
        with _quiet():
            _connect(ray, address)
    try:
        yield ray
    finally:
        if not already:
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the messages of Ray's C++ side about its settings off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _connect(ray: Any, address: str | None) -> None:
    common = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    if address is None:
        cpus = max(MIN_CPUS, os.cpu_count() or 1)
        ray.init(address="local", num_cpus=cpus, object_store_memory=OBJECT_STORE_BYTES, **common)
        return
    if address.startswith("ray://"):
        raise ValueError(
            f"{address} is Ray Client's: start the command on a machine of the cluster, or by `ray "
            "job submit`, with --address HEAD:6379 or auto"
        )
    _require_answer(address)
    del common["include_dashboard"]
    try:
        ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        text = " ".join(str(error).split())
        if "ersion mismatch" in text:
            raise ValueError(
                f"the cluster at {address} has another Ray or Python than this machine (Python "
                f"{sys.version.split()[0]}, Ray {ray.__version__}); both must be the same: {text}"
            ) from error
        raise ValueError(f"{_no_answer(address)} {text}") from error


def _require_answer(address: str) -> None:
    """Raise ValueError if nothing listens there; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ValueError(f"{_no_answer(address)} {error}") from error


def _no_answer(address: str) -> str:
    return (
        f"no Ray cluster answers at {address}: is it running (`ray status`), is the port that of "
        "its head node (6379 by default), and is it reachable from here?"
    )


def fan_out(
    tasks: Mapping[str, Callable[[], Any]], address: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run functions without arguments on a cluster, each as a task; return results by name.

    say(name) is called when one ends. Raises what a function raised, and ValueError as
    `ray_cluster`.
    """
    with ray_cluster(address, len(tasks)) as ray:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        run = ray.remote(_call).options(num_cpus=1, num_gpus=gpus)
        names = {run.remote(task): name for name, task in tasks.items()}
        left, found = list(names), {}
        while left:
            (ready,), left = ray.wait(left, num_returns=1)
            try:
                found[names[ready]] = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                if not isinstance(error.cause, Exception):
                    raise
                raise error.cause from error
            say(f"{names[ready]}: done")
    return {name: found[name] for name in tasks}


def _call(task: Callable[[], Any]) -> Any:
    return task()


def quietly(text: str) -> None:
    """Ignore a message; those of a task on another machine are not shown."""


def here_or(address: str) -> str | None:
    """Return an address for `ray_cluster`; "local" means this machine alone."""
    return None if address == "local" else address
