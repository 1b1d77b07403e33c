"""How much style costs how much of the person: the curve, and one dial along it."""

from __future__ import annotations

from ..builder.graph import Workflow
from .parts import BASE_STARTER, loaded_picture, resized

NOTE = """\
Measures how much style costs how much of the person, and turns the curve into one dial.

Four versions of a picture take on more and more of a style picture's colours and contrast. Each
gets a style score and an identity score; Run 4 draws the curve, and Dial finds the setting for the
last version.

Change first
· Picture and Style picture.
· Dial: 0 is all style, 1 all person.

Then, if you like
· Put a sampler of your own between Model size and the scores, with its Prompt, and give every
branch another denoise, weight or guard strength. The label of each Run names the setting.
· Or leave only the first branch and let the command line sweep it:
  visage tradeoff workflow.json --dial "Paint 1.strength=0.2,0.4,0.6,0.8,1"

The starter's face analyzer and style encoder know drawn pictures only. For photographs choose
YuNet + SFace or an InsightFace pack in Faces, and VGG-19 in all four style scores, of which three
are folded."""
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def workflows() -> list[Workflow]:
    """Four strengths, their scores, and a last version at the dial's setting."""
    flow = Workflow("tradeoff_curve", NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_portrait.png")
        content_picture = resized(flow, "Model size", picture, BASE_STARTER.size, folded=True)
        style = loaded_picture(flow, "Style picture", "visage_style_watercolour.png")
        style_picture = resized(flow, "Style size", style, BASE_STARTER.size, folded=True)
        model = BASE_STARTER.load(flow)
        faces = flow.add("VisageLoadFaceAnalyzer", "Faces")
        content = flow.add("VAEEncode", "Content", pixels=content_picture, vae=model.vae)
        style = flow.add("VAEEncode", "Style", pixels=style_picture, vae=model.vae)
    with flow.column("2 · Four strengths, and their scores"):
        last = None
        for number, strength in enumerate(STRENGTHS, 1):
            # The first branch is open to be read, and the last curve to be seen.
            first, complete = number == 1, number == len(STRENGTHS)
            painted = flow.add(
                "VisageLatentAdaIN",
                f"Paint {number}",
                content=content,
                style=style,
                strength=strength,
            )
            decoded = flow.add("VAEDecode", f"Decode {number}", samples=painted, vae=model.vae)
            identity = flow.add(
                "VisageIdentityScore",
                f"Identity {number}",
                folded=not first,
                original=content_picture,
                result=decoded,
                faces=faces,
            )
            score = flow.add(
                "VisageStyleScore",
                f"Style score {number}",
                folded=not first,
                result=decoded,
                style=style_picture,
            )
            last = flow.add(
                "VisageTradeoff",
                f"Run {number}",
                folded=not complete,
                style=score,
                identity=identity,
                label=f"strength={strength:g}",
                **({"runs": last["runs"]} if last else {}),
            )
    with flow.column("3 · The curve, and one dial along it"):
        flow.add("SaveImage", "Curve", images=last, filename_prefix="visage/tradeoff_curve")
        flow.add("PreviewAny", "Table", source=last["table"])
        dial = flow.add("VisageDial", "Dial", curve=last["curve"], settings="strength")
        flow.add("PreviewAny", "Settings", source=dial["table"])
        painted = flow.add(
            "VisageLatentAdaIN", "Paint", content=content, style=style, strength=dial
        )
        decoded = flow.add("VAEDecode", "Decode", samples=painted, vae=model.vae)
        flow.add("SaveImage", "Result", images=decoded, filename_prefix="visage/tradeoff_dial")
    return [flow]
