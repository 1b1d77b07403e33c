"""Reading and writing weights: safetensors first, pickles only as plain tensors."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .damage import is_safetensors, what_to_do

_WRAPPERS = ("state_dict", "model", "params_ema", "params")


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        folder = path.parent
        beside = sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
        found = ", ".join(beside[:8]) or "no files"
        raise FileNotFoundError(
            f"No weights file at {path}. The folder {folder} holds: {found}. "
            "Put the file there or choose another one."
        )
    return path


def _damaged(path: Path, reason: Exception | str) -> ValueError:
    return ValueError(
        f"Cannot read weights from {path} ({path.stat().st_size} bytes): {reason}. "
        f"{what_to_do(path)}"
    )


def _unpickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            # Torch's own text advises to load the file with all checks off.
            raise _damaged(path, "it is no pickle of tensors") from error
        raise ValueError(
            f"{path} holds Python objects besides tensors and is not opened, because a pickle can "
            "run code. Save its state_dict alone, best as .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    while isinstance(content, Mapping):
        inner = next((k for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    tensors = _plain(content) or _joined(content)
    if not tensors:
        raise ValueError(
            f"{path} holds {type(content).__name__} without named tensors, not a state_dict. "
            "Choose a weights file."
        )
    return tensors


def _plain(content: object) -> dict[str, Tensor]:
    """The tensors that a mapping holds itself."""
    if not isinstance(content, Mapping):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _joined(content: object) -> dict[str, Tensor]:
    """The tensors of a mapping of mappings, such as an IP-Adapter's, under "outer.inner" names."""
    if not isinstance(content, Mapping):
        return {}
    return {
        f"{outer}.{name}": value
        for outer, inner in content.items()
        for name, value in _plain(inner).items()
    }


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors on the CPU from safetensors, whatever the file's name, or from a pickle
    without running it.

    Training wrappers (`state_dict`, `model`, `params`) around the tensors are taken off.
    Raises FileNotFoundError for a missing file and ValueError for a truncated or foreign one.
    """
    path = _existing(path)
    if not is_safetensors(path):
        return _unpickle(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if not tensors:
        raise ValueError(f"{path} holds no tensors. Choose a weights file.")
    return tensors


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the text header of a safetensors file; other kinds of file have none and give {}.

    Raises as `read_weights` does.
    """
    path = _existing(path)
    if not is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def require_new_weights(
    path: str | Path, overwrite: bool = False, advice: str = "Choose another name."
) -> None:
    """Refuse a path that `write_weights` would not write; before a training, so that none is lost.

    Raises ValueError for another extension than `.safetensors`, and FileExistsError if the file is
    there and `overwrite` is off; `advice` ends what they say.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"Weights are written as .safetensors, not as {path.name!r}. {advice}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already and is kept. {advice}")


def write_weights(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write tensors and text metadata as safetensors, complete or not at all.

    Raises as `require_new_weights`.
    """
    path = Path(path)
    require_new_weights(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Tied weights share storage, which the format refuses: each name gets its own copy.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        save_file(plain, temporary, metadata=dict(metadata))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_strictly(
    network: nn.Module, weights: Mapping[str, Tensor], path: str | Path, what: str
) -> nn.Module:
    """Put every one of `weights`, and nothing else, into `network`; returns it for inference, fp32.

    `network` may have been built on the meta device. Counters of batches, which only training
    reads, may be missing. Raises ValueError naming what is missing, unknown or of another shape.
    """
    state = network.state_dict()
    missing = sorted(k for k in state.keys() - weights.keys() if "num_batches" not in k)
    unexpected = sorted(weights.keys() - state.keys())
    misshapen = [
        f"{key} {list(weights[key].shape)} instead of {list(state[key].shape)}"
        for key in sorted(state.keys() & weights.keys())
        if weights[key].shape != state[key].shape
    ]
    if missing or unexpected or misshapen:
        raise ValueError(
            f"{path} looks like {what} but does not fit: {len(missing)} tensors missing "
            f"{missing[:3]}, {len(unexpected)} unknown {unexpected[:3]}, {len(misshapen)} of "
            f"another shape {misshapen[:3]}."
        )
    counters = {k: torch.zeros((), dtype=torch.long) for k in state if "num_batches" in k}
    loaded = {k: v.float() for k, v in weights.items() if k not in counters}
    network.load_state_dict(loaded | counters, assign=True)
    return network.eval().requires_grad_(False)
