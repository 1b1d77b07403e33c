"""Visage: change the style of a picture and keep the person in it.

This file is the door by which ComfyUI enters. It imports nothing until ComfyUI asks for the
nodes, so that `import visage` also works where there is no ComfyUI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import VisageExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> VisageExtension:
    """What ComfyUI calls once at its start; registers our model folders and gives our nodes."""
    import folder_paths

    from .models.registry import register_folders
    from .nodes import VisageExtension

    register_folders(folder_paths)
    return VisageExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
