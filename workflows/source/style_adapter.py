"""The face, or all but the face, in the look of another picture: IP-Adapter."""

from __future__ import annotations

from ..builder.graph import Workflow
from .parts import BASE_STARTER, STARTER, face_masks, loaded_picture, painted_faces, sampled

NOTE = """\
Paints in the look of the style picture, in two ways.

· Result: the face takes the style's tone, as the prompt says; every pixel outside the mask stays as
it was, bit for bit.
· Whole picture: all but the face takes the style's colours and light; the face stays, bit for bit.

Change first
· Picture and Style picture: any size.
· Prompt: what the face shall look like.
· Style: weight is how much of the style; above 0.8 the prompt is hardly heard. reference_mask
"auto" hides the style picture's own face, so that it cannot leak.

Then, if you like
· Style: weight_type "style" takes colours and brushwork without the layout.
· Repaint: denoise is how far the whole picture may change.

Model: the starter is tiny, was trained briefly, and paints faces of 192 px. So both blends take the
"tone" of what it paints; for brushwork load a checkpoint with its IP-Adapter and choose
"linear"."""
PROMPT = "a portrait of a person"


def workflows() -> list[Workflow]:
    """For the starter."""
    flow = Workflow("style_adapter", NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style_picture = loaded_picture(flow, "Style picture", "visage_style_watercolour.png")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        model = BASE_STARTER.load(flow, id=9)
    with flow.column("2 · Face mask, prompt and style"):
        tuned = flow.add("VisageLoadFaceEdit", "Face edit", id=10, model=model.model, file=STARTER)
        mask, soft, crops = face_masks(flow, picture, parser, tuned["model"], first_id=5)
        adapter = flow.add("VisageLoadIPAdapter", "IP-Adapter", id=11, file=STARTER)
        styled = flow.add(
            "VisageStyleAdapter",
            "Style",
            model=tuned,
            ipadapter=adapter,
            clip_vision=model.clip_vision,
            image=style_picture,
            reference_mask="auto",
            parser=parser,
        )
        prompt = flow.add("CLIPTextEncode", "Prompt", text=PROMPT, clip=model.clip)
        negative = flow.add(
            "CLIPTextEncode", "Negative prompt", folded=True, text="", clip=model.clip
        )
        others = flow.add("InvertMask", "All but the face", id=24, mask=mask)
        others = flow.add(
            "VisageSoftMask", "Soft mask, whole", id=31, folded=True, mask=others, sigma=4, grow=-16
        )
    with flow.column("3 · Paint the face, and all but the face"):
        face = painted_faces(
            flow, styled, model, (prompt, negative), mask, crops, tuned["adapter"], id=15
        )
        inpaint = flow.add(
            "VisageSoftInpaint",
            "Soft inpaint, whole",
            id=25,
            positive=prompt,
            negative=negative,
            vae=model.vae,
            image=picture,
            mask=others,
        )
        whole = sampled(flow, "Repaint", styled, inpaint, cfg=4, denoise=1)
        whole = flow.add("VAEDecode", "Decode, whole", samples=whole, vae=model.vae)
    with flow.column("4 · Keep every other pixel"):
        pasted = flow.add(
            "VisagePasteFaces",
            "Paste faces",
            id=19,
            images=face,
            crops=crops["crops"],
            original=picture,
        )
        blend = flow.add(
            "VisagePixelBlend",
            "Pixel blend",
            edited=pasted,
            original=picture,
            mask=soft,
            mode="tone",
        )
        flow.add("PreviewAny", "Report", folded=True, source=blend["report"])
        flow.add("SaveImage", "Result", images=blend, filename_prefix="visage/style_adapter_face")
        kept = flow.add(
            "VisagePixelBlend",
            "Keep the face",
            id=28,
            edited=whole,
            original=picture,
            mask=others,
            mode="tone",
        )
        flow.add("PreviewAny", "Proof, whole", folded=True, source=kept["proof"])
        flow.add(
            "SaveImage", "Whole picture", images=kept, filename_prefix="visage/style_adapter_whole"
        )
    return [flow]
