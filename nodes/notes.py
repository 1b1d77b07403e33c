"""What a node says about its inputs on the canvas and in the log, without stopping the graph."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..engines.comfyui.messages import tell

# Height and width of the zeros that Load Image gives where no mask was painted.
NOT_PAINTED = (64, 64)


def node_id(node: type[io.ComfyNode]) -> str | None:
    """The running node's id; its schema must ask for the hidden unique_id. None off the queue."""
    return node.hidden.unique_id if node.hidden else None


def note(node: type[io.ComfyNode], text: str) -> None:
    """Say something under the running node; its schema must ask for the hidden unique_id."""
    tell(node_id(node) or node.__name__, text)


def note_empty_mask(node: type[io.ComfyNode], mask: Tensor | None, name: str = "mask") -> None:
    """Say that a mask is empty, and why where Load Image gave it."""
    if mask is None or mask.any():
        return
    if tuple(mask.shape[-2:]) == NOT_PAINTED:
        note(
            node,
            f"{name}: no mask was painted on this picture, so it is empty. Paint one in the mask "
            "editor (right click on Load Image), or connect Face Mask.",
        )
    else:
        note(node, f"{name} is empty: nothing is marked in it.")
