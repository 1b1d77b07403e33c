"""Networks from the folders that transformers writes, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn


class Plain(nn.Module):
    """A network whose attributes can be set: transformers' own have a `device` that cannot, and
    ComfyUI's memory management notes it there."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    def forward(self, **inputs: Any) -> Any:
        return self.model(**inputs)


def read_network(kind: type, path: str | Path, files: Sequence[str], example: str) -> Any:
    """Read a network of transformers' class `kind` from the folder of its weights file.

    `files` must lie beside it; `example` names a model that has all. Raises FileNotFoundError or
    ValueError, saying what is missing, for an incomplete folder or another model.
    """
    folder = Path(path).parent
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. Put all files of a model such as {example} "
            "into one folder."
        )
    try:
        network, report = kind.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a model such as {example}: {error}") from error
    if report["missing_keys"]:
        raise ValueError(
            f"{path} is not a model such as {example}: {len(report['missing_keys'])} of its "
            "weights are missing. Get that one with all its files."
        )
    return network
