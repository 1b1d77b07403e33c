"""A style without training, and the people kept: on one canvas, or brought back afterwards."""

from __future__ import annotations

from ..builder.graph import Node, Workflow
from .parts import (
    BASE_SD15,
    BASE_SDXL,
    BASE_STARTER,
    STARTER,
    Base,
    loaded_picture,
    resized_and_cropped,
)

KEEP = """\
Gives a picture a style and keeps its people. Small faces get tiles of their own beside the
picture, all is restyled at once under an identity guard, and the faces are pasted back where
that makes them more like the person.

Change first
· Picture: who shall be restyled, any number of people.
· Style picture: whose style it takes. Nothing is trained.
· Identity guard: strength 0 is all style, 1 holds the faces.

Then, if you like
· Mosaic compose: connect Load Upscale Model with Real-ESRGAN to restore faces before they are
restyled.
· Style transfer: a lower gamma takes more style and less layout.
· Prompt stays empty for pictures as they are.

"""
THEN = """\
Restyles a picture freely and then brings the people back. The canvas with its face tiles is
restyled twice: freely for the picture, and gently for the faces. A face is exchanged only where
that makes it more like the person.

Change first
· Picture: who shall be restyled, any number of people.
· Style picture: whose style it takes. Nothing is trained.
· Free style: a lower gamma takes more style and less layout.

Then, if you like
· Identity guard: how firmly the faces are held.
· Mosaic compose: connect Load Upscale Model with Real-ESRGAN to restore faces before they are
restyled.
· Prompt stays empty for pictures as they are.
· Bring face and Face parser, bypassed (purple): enable both with Ctrl-B, and each face of the
picture itself is warped into the result, in its light and colours.

"""
STARTER_NOTE = """\
The starter is tiny and paints softly. So Own detail takes its colours and light, and keeps the
picture's own features; Faces in words tells the scores before that.
For brushwork load SD 1.5 in its place, bypass Own detail, set Style size to 512, and choose
an analyzer for photographs in Face analyzer."""


REAL_NOTE = """\
Model: {model} in models/checkpoints. For people in photographs choose an
analyzer of your own in Face analyzer, if you have its files."""


MODELS = {"SD 1.5": "a Stable Diffusion 1.5 checkpoint", "SDXL": "an SDXL checkpoint"}


def workflows() -> list[Workflow]:
    """Both jobs for the starter, SD 1.5 and SDXL."""
    made = []
    for base in (BASE_STARTER, BASE_SD15, BASE_SDXL):
        note = STARTER_NOTE if base.is_starter else REAL_NOTE.format(model=MODELS[base.name])
        needs = "" if base.is_starter else base.name
        keep = Workflow(f"style_keep_identity{base.suffix}", KEEP + note, needs=needs)
        style_keep_identity(keep, base)
        then = Workflow(f"style_then_identity{base.suffix}", THEN + note, needs=needs)
        style_then_identity(then, base)
        made += [keep, then]
    return made


class Canvas:
    """The first two columns: pictures and models, and the canvas with a tile for each face."""

    def __init__(self, flow: Workflow, base: Base, style: str) -> None:
        self.base = base
        with flow.column("1 · Inputs"):
            self.picture = loaded_picture(flow, "Picture", "visage_group.png")
            style_picture = loaded_picture(flow, "Style picture", style)
            self.faces = flow.add("VisageLoadFaceAnalyzer", "Face analyzer", id=5)
            self.model = base.load(flow)
        with flow.column("2 · Small faces get tiles"):
            style_picture = resized_and_cropped(flow, "Style size", style_picture, base, id=4)
            clip = self.model.clip
            self.prompt = flow.add("CLIPTextEncode", "Prompt", id=7, text="", clip=clip)
            self.mosaic = flow.add(
                "VisageMosaicCompose",
                "Mosaic compose",
                image=self.picture,
                faces=self.faces,
                size=0,
                model=self.model.model,
            )
            flow.add("PreviewImage", "Mosaic", images=self.mosaic)
            encode, vae = "VAEEncode", self.model.vae
            self.latent = flow.add(encode, "Canvas latent", pixels=self.mosaic, vae=vae)
            original = self.mosaic["content"]
            self.original = flow.add(encode, "Original latent", pixels=original, vae=vae)
            self.style = flow.add(encode, "Style latent", pixels=style_picture, vae=vae)


def style_keep_identity(flow: Workflow, base: Base) -> None:
    """Restyled once, under the guard."""
    canvas = Canvas(flow, base, "visage_style_ink.png")
    with flow.column("3 · Restyle under the guard"):
        guard = guarded(flow, canvas)
        decoded = restyled(flow, canvas, guard, "Style transfer", "Decode")
    with flow.column("4 · Faces go back"):
        flow.add("PreviewImage", "Raw result", images=decoded)
        faces_back(flow, canvas, decoded)


def style_then_identity(flow: Workflow, base: Base) -> None:
    """Restyled freely for the picture, and gently for its faces."""
    canvas = Canvas(flow, base, "visage_style_watercolour.png")
    with flow.column("3 · Style freely, and gently under the guard"):
        # Where its person is let go, the starter paints one of its own over the group.
        gamma = 0.6 if base.is_starter else 0.3
        free = restyled(flow, canvas, canvas.model.model, "Free style", "Free decode", gamma=gamma)
        free = flow.add(
            "VisageMosaicRestore",
            "Free restore",
            folded=True,
            stylised=free,
            mosaic=canvas.mosaic["mosaic"],
            keep_best=False,
        )
        flow.add("PreviewImage", "Free result", images=free)
        guard = guarded(flow, canvas, strength=1)
        gentle = restyled(flow, canvas, guard, "Gentle style", "Gentle decode")
    with flow.column("4 · The people go back"):
        flow.add("PreviewImage", "Raw result", images=gentle)
        faces_back(flow, canvas, gentle, bring=True, background=free)


def guarded(flow: Workflow, canvas: Canvas, **settings) -> Node:
    """The model with the guard on its faces."""
    return flow.add(
        "VisageIdentityGuard",
        "Identity guard",
        model=canvas.model.model,
        content=canvas.original,
        mask=canvas.mosaic["face mask"],
        **settings,
    )


def restyled(flow: Workflow, canvas: Canvas, model, title: str, decode: str, **settings) -> Node:
    """The canvas in the style."""
    transfer = flow.add(
        "VisageStyleTransfer",
        title,
        model=model,
        positive=canvas.prompt,
        content=canvas.latent,
        style=canvas.style,
        **({"steps": 10, "inversion_steps": 50} if canvas.base.is_starter else {}),
        **settings,
    )
    return flow.add("VAEDecode", decode, samples=transfer, vae=canvas.model.vae)


def faces_back(
    flow: Workflow, canvas: Canvas, stylised: Node, bring: bool = False, **settings
) -> None:
    """Faces from their tiles in their places, and what to look at.

    With `bring` a bypassed Bring Face stands last; a user may enable it.
    """
    restored = flow.add(
        "VisageMosaicRestore",
        "Mosaic restore",
        stylised=stylised,
        mosaic=canvas.mosaic["mosaic"],
        faces=canvas.faces,
        **settings,
    )
    report = flow.add("PreviewAny", "Report", folded=True, source=restored["report"])
    result = brought_back(flow, canvas, restored, report.id + 4) if bring else restored
    if canvas.base.is_starter:
        result = with_own_detail(flow, canvas, result, report.id + 6)
    prefix = f"visage/{flow.name}"
    flow.add("SaveImage", "Result", id=report.id + 1, images=result, filename_prefix=prefix)
    if not canvas.base.is_starter:  # there Own detail shows both
        flow.add(
            "VisageCompare",
            "Before and after",
            id=report.id + 2,
            before=canvas.picture,
            after=result,
            before_label="original",
            after_label="restyled",
        )
    flow.add("PreviewAny", "Faces in words", id=report.id + 3, source=restored["summary"])


def with_own_detail(flow: Workflow, canvas: Canvas, result: Node, first_id: int) -> Node:
    """The result's colours and light on the detail of the picture."""
    everywhere = flow.add(
        "SolidMask", "Everywhere", id=first_id, folded=True, value=1.0, width=64, height=64
    )
    return flow.add(
        "VisagePixelBlend",
        "Own detail",
        edited=result,
        original=canvas.picture,
        mask=everywhere,
        mode="detail",
    )


def brought_back(flow: Workflow, canvas: Canvas, result: Node, first_id: int) -> Node:
    """Each face of the picture in its place in the result; bypassed with its parser."""
    parser = flow.add("VisageLoadFaceParser", "Face parser", id=first_id, bypass=True, file=STARTER)
    return flow.add(
        "VisageBringFace",
        "Bring face",
        bypass=True,
        image=result,
        reference=canvas.picture,
        faces=canvas.faces,
        parser=parser,
        person="the face in the same place",
    )
