"""The nodes that Edit Faces expands to. Importable only inside ComfyUI."""

from __future__ import annotations

from typing import Any

from comfy_execution.graph_utils import GraphBuilder

from ...models import registry
from ...techniques.face_prompts import read_face_prompts


def edit_faces_graph(graph: GraphBuilder, *, prompt: str, **inputs) -> tuple[Any, Any, Any]:
    """Add the nodes of the edit to `graph`; returns the links of image, mask and proof.

    Every face is painted from the original picture and pasted over the one before; all are blended
    into the original at once, so the proof speaks of the whole edit.
    """
    model, adapter = inputs["model"], None
    if inputs["face_edit"] != registry.NO_FILE:
        edit = graph.node("VisageLoadFaceEdit", model=model, file=inputs["face_edit"], strength=1.0)
        model, adapter = edit.out(0), edit.out(1)
    negative = graph.node("CLIPTextEncode", clip=inputs["clip"], text=inputs["negative"]).out(0)
    pasted, mask = inputs["image"], None
    for face, text in read_face_prompts(prompt).items():
        words = graph.node("CLIPTextEncode", clip=inputs["clip"], text=text).out(0)
        pasted, own_mask = _edit_face(graph, inputs, face, model, adapter, words, negative, pasted)
        mask = own_mask if mask is None else _union(graph, mask, own_mask)
    blended = graph.node(
        "VisagePixelBlend",
        edited=pasted,
        original=inputs["image"],
        mask=mask,
        mode=inputs["blend"],
        tone_match=inputs["tone_match"],
    )
    return blended.out(0), mask, blended.out(1)


def _edit_face(graph, inputs, face: int | None, model, adapter, words, negative, onto):
    """Paint one face, or all, and paste it onto the picture `onto`; returns picture and mask."""
    found = graph.node(
        "VisageFaceMask",
        image=inputs["image"],
        parser=inputs["parser"],
        parts=inputs["parts"],
        faces="all" if face is None else "index",
        face_index=face or 0,
        edges="binary",
        fill_holes=True,
        largest_component=True,
        no_face="empty mask",
    )
    mask = graph.node(
        "VisageSoftMask",
        mask=found.out(0),
        sigma=inputs["sigma"],
        grow=inputs["grow"],
        unit="percent of face",
        boxes=found.out(2),
    ).out(0)
    crops = graph.node(
        "VisageCropFaces",
        image=inputs["image"],
        mask=mask,
        size=inputs["size"],
        context=inputs["context"],
        boxes=found.out(2),
        model=inputs["model"],
    )
    if adapter is not None:
        words = graph.node(
            "VisageFaceAwareText",
            conditioning=words,
            mask=found.out(0),
            adapter=adapter,
            strength=0.3,
            crops=crops.out(2),
        ).out(0)
    shown = graph.node(
        "VisageSoftInpaint",
        positive=words,
        negative=negative,
        vae=inputs["vae"],
        image=crops.out(0),
        mask=crops.out(1),
        mask_mode="soft",
        noise_mask="soft",
    )
    settings = ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")
    latent = graph.node(
        "KSampler",
        model=model,
        positive=shown.out(0),
        negative=shown.out(1),
        latent_image=shown.out(2),
        **{name: inputs[name] for name in settings},
    )
    painted = graph.node("VAEDecode", samples=latent.out(0), vae=inputs["vae"])
    pasted = graph.node(
        "VisagePasteFaces", images=painted.out(0), crops=crops.out(2), original=onto
    )
    return pasted.out(0), mask


def _union(graph, first, second):
    """Add two soft masks; the larger of them would need another node."""
    return graph.node(
        "MaskComposite", destination=first, source=second, x=0, y=0, operation="add"
    ).out(0)
