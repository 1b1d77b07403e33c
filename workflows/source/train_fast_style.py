"""A style of one's own, learned by a small network and used at once."""

from __future__ import annotations

from ..builder.graph import Workflow
from .parts import STARTER, loaded_picture, loss_curve, saved_and_compared

NOTE = """\
Teaches a small network the style of one painting, and paints with it at once. No checkpoint, no
Prompt and no files are needed.

Change first
· Style picture: a painting, 512 px and more.
· Picture: any photograph. The network trains on it as well, so it knows this one best.
· Train: name of the file, which Load Fast Style lists afterwards.

This run goes on from a built-in style for a minute: that gives the painting's colours and bold
outlines, and only a hint of its strokes.

For a style to keep
· Train: 5000 steps and more, a quarter of an hour on a CPU; and for images a batch of many
photographs, so that it does for any.
· Start: a built-in style with outlines that you like. Without the link it begins with nothing
and needs 2000 steps.

Then, if you like
· Train: a lower content_weight gives more of the painting; a larger style_size gives broader
strokes.
· Paint: keep_strength is how much of the face stays as it was.

Interrupting keeps what is learned so far."""


def workflows() -> list[Workflow]:
    """A short training, and a look at what it has learned."""
    flow = Workflow("train_fast_style", NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style = loaded_picture(flow, "Style picture", "visage_painting_orchard.jpg")
        start = flow.add("VisageLoadFastStyle", "Start", file="delaunay_portrait (built in)")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    with flow.column("2 · Train"):
        train = flow.add(
            "VisageTrainFastStyle",
            "Train",
            style=style,
            images=picture,
            start=start,
            steps=400,
            batch_size=1,
            style_size=512,
            content_weight=0.1,
        )
        mask = flow.add("VisageFaceMask", "Face mask", image=picture, parser=parser, edges="soft")
    with flow.column("3 · Paint"):
        loss_curve(flow, train["loss"])
        painted = flow.add(
            "VisageFastStyle",
            "Paint",
            image=picture,
            fast_style=train,
            keep=mask,
            keep_strength=0.25,
        )
    with flow.column("4 · Result"):
        flow.add("PreviewAny", "File", source=train["file"])
        saved_and_compared(flow, picture, painted)
    return [flow]
