"""The nodes: schema, sockets and one call into techniques/ each; no maths.

Ids, and the ids, order and defaults of inputs, are the format of saved workflows: only ever append.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    compare,
    crops,
    diffstyler,
    face_edit,
    face_mask,
    faces,
    identity_guard,
    mosaic,
    pixel_blend,
    prompt_mask,
    scores,
    soft_mask,
    starter,
    style_adapter,
    style_lora,
    style_transfer,
    tradeoff,
    train_face_edit,
)

NODES: list[type[io.ComfyNode]] = [
    *starter.NODES,
    *face_mask.NODES,
    *soft_mask.NODES,
    *crops.NODES,
    *face_edit.NODES,
    *pixel_blend.NODES,
    *style_lora.NODES,
    *diffstyler.NODES,
    *prompt_mask.NODES,
    *style_adapter.NODES,
    *train_face_edit.NODES,
    *style_transfer.NODES,
    *mosaic.NODES,
    *faces.NODES,
    *scores.NODES,
    *compare.NODES,
    *tradeoff.NODES,
    *identity_guard.NODES,
]


class VisageExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
