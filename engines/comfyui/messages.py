"""Telling the user something on a node, without stopping the graph. Only inside ComfyUI."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence


def tell(node_id: str, text: str) -> None:
    """Show a line under the node on the canvas, and write it to ComfyUI's log."""
    logging.warning("Visage, node %s: %s", node_id, text)
    # Where graphs are run without ComfyUI's server, the log is all there is.
    server = sys.modules.get("server")
    running = getattr(getattr(server, "PromptServer", None), "instance", None)
    if running is not None:
        running.send_progress_text(text, node_id)


def tell_without_face(node_id: str, boxes: Sequence[Sequence], no_face: str) -> None:
    """Say which pictures of a batch have no box of a face, and which mask they get instead."""
    nobody = [str(number) for number, found in enumerate(boxes, 1) if not found]
    if nobody:
        where = f"picture {', '.join(nobody)} of {len(boxes)}"
        tell(node_id, f"No face found in {where}: its mask is {no_face.removesuffix(' mask')}.")
