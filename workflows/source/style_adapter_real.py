"""A picture in the look of another, the face kept: IP-Adapter on real checkpoints, with its drawing
held by a ControlNet or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..builder.graph import Node, Workflow
from .parts import BASE_SD15, BASE_SDXL, STARTER, Base, loaded_picture, sampled

NOTE = """\
Paints a photograph in the look of the style picture. The face stays, bit for bit.

Change first
· Picture and Style picture: any size.
· Prompt: what the picture shows.
· Style: weight is how much of the style. weight_type "style" takes colours and brushwork
without the layout.

Then, if you like
· Repaint: denoise is how far the picture may change.
"""
CONTROL = """\
· Hold the drawing: strength is how firmly ControlNet holds on to the lines, which are the picture's
own edges and the outlines of the parts that the face parser finds.
"""
FILES = """\

Models: {base} in models/checkpoints, {adapter} in models/ipadapter, CLIP ViT-H under any name in
models/clip_vision{control}."""


@dataclass(frozen=True)
class Files:
    """An IP-Adapter for a base model, and a ControlNet; the encoder is found by its width."""

    adapter: str
    controlnet: str = ""


PLUS_SD15 = Files("ip-adapter-plus_sd15.safetensors")
PLUS_SDXL = Files("ip-adapter-plus_sdxl_vit-h.safetensors")
# The plain adapter holds less of the style picture's layout, which is the drawing's part here.
CANNY_SD15 = Files("ip-adapter_sd15.safetensors", "control_v11p_sd15_canny_fp16.safetensors")
CANNY_SDXL = Files("ip-adapter_sdxl_vit-h.safetensors", "diffusers_xl_canny_full.safetensors")
PARTS = ["face and hair", "left_ear", "right_ear", "neck", "clothes", "hat"]


def workflows() -> list[Workflow]:
    """With the adapter alone and with a ControlNet, for SD 1.5 and SDXL."""
    return [
        described("style_adapter_sd15", BASE_SD15, PLUS_SD15),
        described("style_adapter_sdxl", BASE_SDXL, PLUS_SDXL),
        described("control_style", BASE_SD15, CANNY_SD15),
        described("control_style_sdxl", BASE_SDXL, CANNY_SDXL),
    ]


def described(name: str, base: Base, files: Files) -> Workflow:
    """The note says which files go where."""
    control = f", {files.controlnet} in models/controlnet" if files.controlnet else ""
    text = NOTE + (CONTROL if files.controlnet else "")
    text += FILES.format(base=base.name, adapter=files.adapter, control=control)
    needs = f"{base.name}, IP-Adapter" + (", ControlNet" if files.controlnet else "")
    flow = Workflow(name, text, needs=needs)
    painted(flow, base, files)
    return flow


def painted(flow: Workflow, base: Base, files: Files) -> None:
    """All but the face is painted anew under the adapter."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style_picture = loaded_picture(flow, "Style picture", "visage_painting_orchard.jpg")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        model = base.load(flow)
        adapter = flow.add("VisageLoadIPAdapter", "IP-Adapter", file=files.adapter)
    with flow.column("2 · All but the face, prompt and style"):
        scaled = flow.add(
            "ImageScale",
            "Model size",
            image=picture,
            upscale_method="lanczos",
            width=base.size,
            height=base.size,
            crop="center",
        )
        face = flow.add("VisageFaceMask", "Face mask", image=scaled, parser=parser)
        flow.add("PreviewImage", "Mask overlay", images=face["overlay"])
        others = flow.add("InvertMask", "All but the face", mask=face)
        others = flow.add(
            "VisageSoftMask",
            "Soft mask",
            mask=others,
            sigma=4,
            grow=-8,
            unit="percent of face",
            boxes=face["boxes"],
        )
        styled = flow.add(
            "VisageStyleAdapter",
            "Style",
            model=model.model,
            ipadapter=adapter,
            clip_vision=adapter["clip_vision"],
            image=style_picture,
            reference_mask="auto",
            parser=parser,
            weight=0.6,
        )
        by_degrees = flow.add("DifferentialDiffusion", "Differential diffusion", model=styled)
        words = "a painting of an astronaut"
        positive = flow.add("CLIPTextEncode", "Prompt", text=words, clip=model.clip)
        unwanted = "photograph, blurry"
        negative = flow.add("CLIPTextEncode", "Negative prompt", text=unwanted, clip=model.clip)
        if files.controlnet:
            edges = drawing(flow, scaled, parser)
            net = flow.add("ControlNetLoader", "ControlNet", control_net_name=files.controlnet)
    with flow.column("3 · Paint all but the face"):
        prompts = {"positive": positive, "negative": negative}
        if files.controlnet:
            held = flow.add(
                "ControlNetApplyAdvanced",
                "Hold the drawing",
                control_net=net,
                image=edges,
                vae=model.vae,
                strength=0.8,
                **prompts,
            )
            prompts = {"positive": held["positive"], "negative": held["negative"]}
        inpaint = flow.add(
            "VisageSoftInpaint",
            "Soft inpaint",
            vae=model.vae,
            image=scaled,
            mask=others,
            **prompts,
        )
        repainted = sampled(flow, "Repaint", by_degrees, inpaint, cfg=6, denoise=0.7)
        decoded = flow.add("VAEDecode", "Decode", samples=repainted, vae=model.vae)
    with flow.column("4 · Keep the face"):
        flow.add("PreviewImage", "Raw result", images=decoded)
        kept = flow.add(
            "VisagePixelBlend", "Pixel blend", edited=decoded, original=scaled, mask=others
        )
        flow.add("PreviewAny", "Report", folded=True, source=kept["report"])
        flow.add("SaveImage", "Result", images=kept, filename_prefix=f"visage/{flow.name}")


def drawing(flow: Workflow, picture: Node, parser: Node) -> Node:
    """The picture's own edges, and the outlines of face, hair, neck and clothes beside them."""
    parts = flow.add(
        "VisageFaceMask", "Parts", folded=True, image=picture, parser=parser, parts=PARTS
    )
    outlines = flow.add("Canny", "Outlines of the parts", image=parts["labels"])
    edges = flow.add("Canny", "Edges", image=picture)
    # Of two drawings in white on black, screen keeps the lines of both.
    return flow.add(
        "ImageBlend", "Drawing", image1=edges, image2=outlines, blend_factor=1, blend_mode="screen"
    )
