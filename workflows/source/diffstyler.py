"""A style learned from one picture, painted into another: whole, one region, several regions."""

from __future__ import annotations

from dataclasses import dataclass

from ..builder.graph import Node, Workflow
from .parts import (
    BASE_SD15,
    BASE_SDXL,
    BASE_STARTER,
    Base,
    Loaded,
    loaded_picture,
    resized,
    resized_and_cropped,
)

WHOLE = """\
Learns the style of one picture and paints another picture in it (DiffStyler).

Change first
· Picture: what shall be painted anew.
· Style picture: whose style to learn. Train style LoRA learns it once; a change behind it does
not train again.
· Prompt: what both show, with <sss> as the style's name.

Then, if you like
· Style region: more feature_steps and attention_steps keep more of the picture, less take more
of the style.
· Style LoRA: its strength.

"""
REGION = """\
Learns the style of one picture and paints one part of another picture in it; every pixel
outside stays as it was, bit for bit.

Change first
· Picture and Style picture.
· Prompt: what both show, with <sss> as the style's name.
· Region in words: hair, hat, lips, clothes, background ...; other things need CLIPSeg. Any mask
will do in its place.

Then, if you like
· Soft mask: how gently the style fades out.

"""
MANY = """\
Learns two styles and paints each into its own part of a picture; every pixel outside stays as
it was, bit for bit.

Change first
· Picture, and both Style pictures.
· Prompt: what they show, with <sss> as the style's name.
· First and Second region in words: hair, hat, lips, clothes, background ...

For more styles chain more Style Regions: where they overlap the later one wins. DiffStyler's
style_blend temporal lets all styles work on all regions, one after the other.

"""
STARTER_NOTE = """\
The starter is tiny and paints at 192 px. So Pixel blend's "detail" takes its colours and light, and
keeps the picture's own features. For brushwork load SD 1.5 or SD 2.1 in its place, set Model
size and the size of Train style LoRA to 512, its learning_rate to 0.0002, Pixel blend to "linear",
DiffStyler's guidance to 10.5 and Invert to 50 and 999 steps."""
PROMPT = "painting of <sss>, a portrait of a person"
INPUTS = "1 · Inputs"
PREPARE = "2 · Learn the style, invert the picture"
PAINT = "3 · Paint"
KEEP = "4 · Keep every other pixel"
# The starter's work is laid on a picture of this edge in pixels.
KEPT_SIZE = 512


REAL_NOTE = """\
Model: a Stable Diffusion 1.5 checkpoint in models/checkpoints; the settings are the paper's."""
SDXL_NOTE = """\
Model: an SDXL checkpoint in models/checkpoints; the settings are the paper's, which were chosen for
SD 1.5: less guidance paints more gently."""


@dataclass(frozen=True)
class Settings:
    """How long a style is learned and a picture is inverted, and how firmly styles are followed."""

    learning_rate: float = 0.001
    steps: int = 20
    inversion_steps: int = 100
    guidance: float = 1.5
    lora_steps: int | None = None


STARTER_SETTINGS = Settings()
PAPER = Settings(0.0002, 50, 999, 10.5, 1000)


def workflows() -> list[Workflow]:
    """Three jobs for the starter, SD 1.5 and SDXL."""
    jobs = {
        "style_whole": (style_whole, WHOLE),
        "style_region": (style_region, REGION),
        "style_many": (style_many, MANY),
    }
    made = []
    for base, settings, note in (
        (BASE_STARTER, STARTER_SETTINGS, STARTER_NOTE),
        (BASE_SD15, PAPER, REAL_NOTE),
        (BASE_SDXL, PAPER, SDXL_NOTE),
    ):
        for name, (describe, text) in jobs.items():
            needs = "" if base.is_starter else base.name
            flow = Workflow(name + base.suffix, text + note, needs=needs)
            describe(flow, base, settings)
            made.append(flow)
    return made


class Inputs:
    """The picture as it is kept and in the model's size, the model and its prompts."""

    def __init__(self, flow: Workflow, base: Base, settings: Settings) -> None:
        self.base, self.settings = base, settings
        with flow.column(INPUTS):
            picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        with flow.column(PREPARE):
            if base.is_starter:
                picture = resized(flow, "Square", picture, KEPT_SIZE, crop="center", folded=True)
            self.picture = resized_and_cropped(flow, "Model size", picture, base)
            self.kept = picture if base.is_starter else self.picture
        with flow.column(INPUTS):
            self.model: Loaded = base.load(flow)
        with flow.column(PREPARE):
            clip = self.model.clip
            self.positive = flow.add("CLIPTextEncode", "Prompt", text=PROMPT, clip=clip)
            self.negative = flow.add(
                "CLIPTextEncode", "Negative prompt", folded=True, text="", clip=clip
            )


def style_whole(flow: Workflow, base: Base, settings: Settings) -> None:
    """One style for the whole picture."""
    inputs = Inputs(flow, base, settings)
    lora = learned(flow, inputs, "", "visage_style_ink.png", steps=200)
    region = style_of(flow, "Style region", inputs, lora, feature_steps=0.8, attention_steps=0.8)
    painted = inverted_and_painted(flow, inputs, region)
    blended(flow, inputs, painted, sigma=0)


def style_region(flow: Workflow, base: Base, settings: Settings) -> None:
    """One style for what a word names."""
    inputs = Inputs(flow, base, settings)
    lora = learned(flow, inputs, "", "visage_style_pencil.png", steps=200)
    where = place(flow, inputs, "Region in words", "background, clothes")
    with flow.column(PREPARE):
        flow.add("PreviewImage", "Candidates", images=where["candidates"])
    region = style_of(flow, "Style region", inputs, lora, mask=where)
    painted = inverted_and_painted(flow, inputs, region, mask_mode="official")
    blended(flow, inputs, painted, sigma=1)


def style_many(flow: Workflow, base: Base, settings: Settings) -> None:
    """Two styles, each where a word says."""
    inputs = Inputs(flow, base, settings)
    first = learned(flow, inputs, " one", "visage_style_pencil.png", steps=150)
    second = learned(flow, inputs, " two", "visage_style_ink.png", steps=150)
    background = place(flow, inputs, "First region in words", "background, clothes")
    hair = place(flow, inputs, "Second region in words", "hair")
    region = style_of(flow, "First region", inputs, first, mask=background)
    regions = style_of(flow, "Second region", inputs, second, mask=hair, regions=region)
    painted = inverted_and_painted(flow, inputs, regions, mask_mode="official")
    blended(flow, inputs, painted, sigma=1)


def learned(flow: Workflow, inputs: Inputs, name: str, picture: str, steps: int) -> Node:
    """The model with a LoRA that is trained on one picture."""
    model = inputs.model
    with flow.column(INPUTS):
        style = loaded_picture(flow, f"Style picture{name}", picture)
    with flow.column(PREPARE):
        trained = flow.add(
            "VisageTrainStyleLora",
            f"Train style LoRA{name}",
            model=model.model,
            clip=model.clip,
            vae=model.vae,
            image=style,
            prompt=PROMPT,
            steps=inputs.settings.lora_steps or steps,
            learning_rate=inputs.settings.learning_rate,
            size=inputs.base.size,
        )
        return flow.add("LoraModelLoader", f"Style LoRA{name}", model=model.model, lora=trained)


def place(flow: Workflow, inputs: Inputs, title: str, text: str) -> Node:
    """The mask of what a word names."""
    with flow.column(PREPARE):
        return flow.add("VisagePromptMask", title, image=inputs.kept, text=text)


def style_of(flow: Workflow, title: str, inputs: Inputs, model: Node, **settings) -> Node:
    """A region that this model paints; the whole picture without a mask."""
    with flow.column(PREPARE):
        return flow.add(
            "VisageStyleRegion",
            title,
            model=model,
            positive=inputs.positive,
            negative=inputs.negative,
            name=title,
            **settings,
        )


def inverted_and_painted(flow: Workflow, inputs: Inputs, regions: Node, **settings) -> Node:
    """The picture's inversion, and its painting by all regions."""
    model = inputs.model
    with flow.column(PREPARE):
        inversion = flow.add(
            "VisageInvert",
            "Invert",
            model=model.model,
            clip=model.clip,
            vae=model.vae,
            image=inputs.picture,
            steps=inputs.settings.steps,
            inversion_steps=inputs.settings.inversion_steps,
        )
        flow.add("PreviewAny", "Inversion report", folded=True, source=inversion["report"])
    with flow.column(PAINT):
        painted = flow.add(
            "VisageDiffStyler",
            "DiffStyler",
            model=model.model,
            trajectory=inversion,
            regions=regions,
            guidance=inputs.settings.guidance,
            **settings,
        )
        flow.add("PreviewImage", "Mask overlay", images=painted["overlay"])
    return painted


def blended(flow: Workflow, inputs: Inputs, painted: Node, sigma: float) -> None:
    """What was painted, inside its mask alone."""
    with flow.column(PAINT):
        decoded = flow.add("VAEDecode", "Decode", samples=painted, vae=inputs.model.vae)
        flow.add("PreviewImage", "Raw result", images=decoded)
        mask = flow.add("VisageSoftMask", "Soft mask", mask=painted["mask"], sigma=sigma)
    with flow.column(KEEP):
        blend = flow.add(
            "VisagePixelBlend",
            "Pixel blend",
            edited=decoded,
            original=inputs.kept,
            mask=mask,
            mode="detail" if inputs.base.is_starter else "linear",
        )
        flow.add("PreviewAny", "Report", folded=True, source=blend["report"])
        flow.add("SaveImage", "Result", images=blend, filename_prefix=f"visage/{flow.name}")
