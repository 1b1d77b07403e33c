"""The nodes: schema, sockets and one call into techniques/ each; no maths.

Ids, and the ids, order and defaults of inputs, are the format of saved workflows: only ever append.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import (
    adain_style,
    best_of,
    bring_face,
    compare,
    crops,
    diffstyler,
    edit_faces,
    face_edit,
    face_mask,
    faces,
    fast_style,
    fill_mask,
    identity_guard,
    invert,
    layers,
    mask_logic,
    mosaic,
    neural_style,
    person_mask,
    pixel_blend,
    prompt_mask,
    recolour,
    save_proven,
    scores,
    soft_mask,
    starter,
    style_adapter,
    style_lora,
    style_region,
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
    *invert.NODES,
    *style_region.NODES,
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
    *neural_style.NODES,
    *layers.NODES,
    *edit_faces.NODES,
    *save_proven.NODES,
    *best_of.NODES,
    *bring_face.NODES,
    *fast_style.NODES,
    *adain_style.NODES,
    *mask_logic.NODES,
    *fill_mask.NODES,
    *person_mask.NODES,
    *recolour.NODES,
]


class VisageExtension(ComfyExtension):
    """What ComfyUI asks for the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
