"""The job of a batch, in a form that can be sent to workers on other machines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..headless.canvas import is_canvas_form
from ..headless.preparation import local_picture
from ..headless.workflow import as_prompt, open_workflow, set_input
from ..models.picture_folder import PICTURES

if TYPE_CHECKING:
    from .runner import Runner

ENGINES = ("comfyui", "diffusers")


@dataclass(frozen=True)
class Job:
    """A workflow (canvas or API form), its settings (`title.input=value`) and the contents of the
    pictures that both name.

    `into` is the title of the node that takes the batch's pictures, `models` a folder with
    ComfyUI's layout, `timeout` the seconds allowed for a picture. With `previews` the previewed
    pictures are kept, too.
    """

    workflow: dict
    engine: str = "comfyui"
    settings: tuple[str, ...] = ()
    into: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    models: str | None = None
    comfyui: str | None = None
    previews: bool = False
    timeout: float | None = None

    @classmethod
    def read(cls, path: Path, settings: tuple[str, ...] = (), **choices: Any) -> Job:
        """Make a job from a workflow's file. Raises FileNotFoundError or ValueError."""
        workflow = open_workflow(path)
        if choices.get("engine") == "diffusers" and is_canvas_form(workflow):
            raise ValueError(
                f"{path} is in canvas form, which only ComfyUI can read: export the API form, or "
                "use --engine comfyui."
            )
        values = [*_texts(workflow), *(setting.partition("=")[2] for setting in settings)]
        files = {
            name: found.read_bytes()
            for name in filter(_may_name_a_picture, values)
            if (found := local_picture(name, path.parent))
        }
        return cls(workflow, settings=settings, files=files, **choices)

    def prompt(self, object_info: dict) -> dict:
        """The workflow in API form, with the settings applied.

        Raises ValueError for a setting that the workflow does not have, and as `as_prompt`.
        """
        prompt = as_prompt(self.workflow, object_info)
        for setting in self.settings:
            set_input(prompt, setting, object_info)
        return prompt

    def start(self) -> Runner:
        """Start the engine and load its models. Raises ValueError or FileNotFoundError."""
        from .runner import make_runner

        return make_runner(self)

    def identity(self) -> dict[str, str]:
        """Everything that the results depend on, each part as a short text."""
        return {
            "workflow": _digest(json.dumps(self.workflow, sort_keys=True)),
            "settings": " ".join(self.settings),
            "pictures it names": _digest(
                json.dumps({name: _digest(data) for name, data in sorted(self.files.items())})
            ),
            "engine": self.engine,
            "into": self.into or "",
            "previews": str(self.previews),
        }


def seeds_of(prompt: dict, title_of: Any) -> dict[str, int]:
    """The seeds in a workflow in API form, by `title.input`."""
    return {
        f"{title_of(prompt, key)}.{name}": value
        for key, node in prompt.items()
        for name, value in node["inputs"].items()
        if name in ("seed", "noise_seed") and isinstance(value, int)
    }


def _digest(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(data).hexdigest()[:16]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _may_name_a_picture(text: str) -> bool:
    return len(text) <= 400 and Path(text).suffix.lower() in PICTURES
