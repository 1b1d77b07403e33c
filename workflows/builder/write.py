"""Builds every described workflow and writes its two files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .canvas import build
from .graph import Workflow

FOLDER = Path(__file__).parents[1]


def described(names: Sequence[str] = ()) -> dict[str, Workflow]:
    """The workflows with these names, or all, by name. Raises ValueError for an unknown name."""
    package = __package__.rpartition(".")[0]
    found = {}
    for path in sorted((FOLDER / "source").glob("*.py")):
        module = import_module(f"{package}.source.{path.stem}")
        for workflow in getattr(module, "workflows", list)():
            found[workflow.name] = workflow
    if unknown := set(names) - found.keys():
        raise ValueError(
            f"There is no workflow {', '.join(sorted(unknown))}; there are: {', '.join(found)}"
        )
    return {name: found[name] for name in names or found}


def write(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Path]:
    """Write the canvas form of each to `folder` and its twin to `folder`/api."""
    (folder / "api").mkdir(parents=True, exist_ok=True)
    written = []
    for name, workflow in described(names).items():
        canvas, twin = build(workflow)
        for path, content in (
            (folder / f"{name}.json", canvas),
            (folder / "api" / f"{name}.json", twin),
        ):
            path.write_text(
                json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
            )
            written.append(path)
    return written
