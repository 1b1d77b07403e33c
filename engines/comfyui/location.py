"""Where ComfyUI is on this machine, found without importing any of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).absolute().parent.parent.parent


def find_comfyui() -> Path | None:
    """ComfyUI's folder: COMFYUI_PATH, else two folders up (installed as a custom node), else
    ~/comfy/ComfyUI; None where there is none.

    Raises FileNotFoundError when COMFYUI_PATH is set and holds no ComfyUI.
    """
    named = os.environ.get("COMFYUI_PATH")
    if named:
        if not _is_comfyui(Path(named)):
            raise FileNotFoundError(
                f"COMFYUI_PATH is {named}, and there is no ComfyUI in it (main.py and "
                "comfyui_version.py). Correct it, or unset it to look in the usual places."
            )
        return Path(named).resolve()
    usual = (PACKAGE.parent.parent, Path.home() / "comfy" / "ComfyUI")
    return next((folder for folder in usual if _is_comfyui(folder)), None)


def comfyui_version(folder: Path) -> str:
    """The version of the ComfyUI in that folder, such as "0.3.64"."""
    text = (folder / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r'__version__\s*=\s*"([^"]+)"', text)
    return found[1] if found else "unknown"


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfyui_version.py").is_file()


def import_comfyui(folder: Path) -> None:
    """Bring ComfyUI into this process: `comfy` and `nodes` can be imported afterwards.

    Without CUDA it runs on the CPU.
    """
    import torch

    sys.path.insert(0, str(folder))
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
