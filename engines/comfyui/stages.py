"""The names of a running node's stages, which web/progress_line.js shows with the time left.

Importable only inside ComfyUI.
"""

from __future__ import annotations

import sys

from comfy_execution.utils import get_executing_context

EVENT = "visage.stages"


def tell_stages(stages: list[tuple[str, int]]) -> None:
    """Tell the canvas what the running node does: (name, steps) in the order of its bar."""
    context = get_executing_context()
    # Where graphs are run without ComfyUI's server, nobody watches.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if context is not None and server is not None:
        server.send_sync(EVENT, {"node": context.node_id, "stages": stages}, server.client_id)
