"""Edits by place: a garment, the background, an object added or gone; all else bit for bit.

Without a checkpoint what a picture has or brings is used: materials, other backgrounds, patches
from around a hole; the starter paints things to wear. With an inpainting model the prompt decides.
"""

from __future__ import annotations

from ..builder.graph import Node, Output, Workflow
from .parts import (
    BASE_SD15_INPAINTING,
    BASE_STARTER,
    STARTER,
    Base,
    Loaded,
    loaded_picture,
    sampled,
    saved_and_compared,
)

GARMENT = """\
Makes a garment of another material. Skin, hair and everything else stay as they were, bit for bit.

Change first
· Picture: your photograph.
· Most of it and The rest: boxes around the garment, in percent of the picture. "Object in it"
  finds the outline, and Garment joins both without holes. Or connect a painted mask to Garment
  alone, or Prompt Mask with CLIPSeg and the words "the jacket".
"""
BACKGROUND = """\
Gives the people another background. The people stay as they were, bit for bit; only the pixels of
their outline, in which the old background shows, are mixed anew.

Change first
· Picture: your photograph.
· New background: any picture; it is stretched to the same size.

Then, if you like
· People: one person alone, by faces "largest" or by number. Look at the overlay: where a body and
  what is behind it have the same colour, join a box to it or take from it with Combine Masks.
· Soft edge: sigma is how soft the outline is.

No checkpoint is needed. The light does not change with the background: choose one with light from
the same side."""
RECOLOUR = """\
Gives hair and lips another colour, each in one node. Every strand stays, and every other pixel is
as it was, bit for bit.

Change first
· Picture: your photograph.
· Hair colour and Lips colour: click a colour, or the field beside them for any other.

Then, if you like
· Hair and Lips: click other parts, such as skin, clothes or a hat; look at the overlays.
· Hair, soft and Lips, soft: sigma and grow are how far the masks reach. A few pixels too many do no
  harm: the colour ends at the picture's own edges.
· Hair colour and Lips colour: less strength keeps more of the old colour.

No checkpoint is needed."""
REMOVE = """\
Removes something and lets what is around it go on. Everything else stays as it was, bit for bit.

Change first
· Picture: your photograph.
· Object: a box around it, in percent of the picture; with a good margin. Or connect a painted mask,
  or Prompt Mask.
"""
ADD = """\
Paints something new into a picture by prompt. Everything else stays as it was, bit for bit.

Change first
· Picture: your photograph.
· Object: a box where it goes, in percent of the picture; with a good margin. Or connect a painted
  mask, or Prompt Mask.
"""
MATERIAL_NOTE = """\
· Material: a picture of the material, 300 px and more.

Then, if you like
· Neural style: style_scale makes the material's grain larger; strength less keeps more of the old
  garment's colours.

No checkpoint is needed, and folds and seams stay."""
PATCHES_NOTE = """\
Then, if you like
· Fill mask: another seed takes other patches; avoid keeps patches from being taken from people.

No checkpoint is needed: cloth, walls, sky and grass go on by patches from around them. What must be
invented needs an inpainting model: remove_object_sd15."""
SD15_NOTE = """\
· Prompt: {prompt}.

Then, if you like
· Sampler: another seed paints another one.

Model: a Stable Diffusion 1.5 inpainting checkpoint in models/checkpoints."""
WORN_NOTE = """\
· Prompt: the whole portrait, in plain words, with the new thing.
· What is it: the same thing's name, a part that the parser knows: glasses, hat, earring, necklace.
  Only it is taken from what the model painted, with its own outline.

Then, if you like
· Sampler: another seed paints another one.

Model: the starter is tiny and knows faces of 192 px alone; sunglasses it paints well. For anything
else: add_object_sd15."""
PROMPTS = {
    "add": "what is to be seen in the box, the new thing first",
    "remove": "what is there when the object is gone, such as a plain wall; not the object",
}
UNWANTED = "blurry, deformed, text, watermark"
ASTRONAUT = "visage_astronaut.png"
SUIT, SIDE = "4, 40, 50, 60; 54, 44, 17, 29", "53, 72, 9, 26"
BADGE, TABLE = "25, 67, 17, 17", "66, 0, 32, 55"
# Part, colour, strength, and inputs of Face Mask and of Soft Mask: teeth are a hole in the lips.
COLOURS = (
    ("Hair", "#7a3a22", 1.0, {}, {"sigma": 3.0, "grow": 2}),
    ("Lips", "#a1142b", 0.6, {"fill_holes": False}, {"sigma": 1.0, "grow": 0}),
)
EYES, CROWN = "22, 40, 38, 17", "26, 0, 36, 18"
SUNGLASSES = "a portrait of a woman with red hair and sunglasses"


def workflows() -> list[Workflow]:
    """All five jobs without a checkpoint, and what must be invented by SD 1.5 inpainting."""
    garment = Workflow("change_garment", GARMENT + MATERIAL_NOTE)
    change_garment(garment)
    background = Workflow("change_background", BACKGROUND)
    change_background(background)
    recoloured = Workflow("recolour", RECOLOUR)
    recolour(recoloured)
    removed = Workflow("remove_object", REMOVE + PATCHES_NOTE)
    remove_object(removed)
    added = Workflow("add_object", ADD + WORN_NOTE)
    add_object(added)
    painted = [
        _by_model("add_object", ADD, "add", "Object", CROWN,
                  "a red baseball cap on a smiling woman's head, photograph"),
        _by_model("remove_object", REMOVE, "remove", "Object", TABLE,
                  "an empty black table before a grey studio wall, photograph"),
    ]  # fmt: skip
    return [garment, background, recoloured, removed, added, *painted]


def _by_model(name: str, note: str, kind: str, title: str, box: str, prompt: str) -> Workflow:
    base = BASE_SD15_INPAINTING
    note += SD15_NOTE.format(prompt=PROMPTS[kind])
    flow = Workflow(f"{name}{base.suffix}", note, needs=base.name)
    inpainted(flow, base, ASTRONAUT, title, box, prompt)
    return flow


def change_garment(flow: Workflow) -> None:
    """The garment painted in a material, which Neural Style takes from a picture of it."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", ASTRONAUT)
        material = loaded_picture(flow, "Material", "visage_leather.jpg")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    with flow.column("2 · The garment, without skin and hair"):
        most = marked(flow, "Most of it", picture, SUIT, cut=True)
        rest = marked(flow, "The rest", picture, SIDE, cut=True)
        garment = flow.add(
            "VisageCombineMasks",
            "Garment",
            image=picture,
            mask=most,
            other=rest,
            shape="without holes",
        )
        text = "face, hair, neck"
        skin = flow.add(
            "VisagePromptMask", "Skin and hair", image=picture, text=text, parser=parser
        )
        alone = flow.add(
            "VisageCombineMasks",
            "Garment alone",
            image=picture,
            operation="minus",
            mask=garment,
            other=skin,
        )
        soft = flow.add("VisageSoftMask", "Soft edge", mask=alone, sigma=1.0)
    with flow.column("3 · Paint"):
        painted = flow.add(
            "VisageNeuralStyle",
            "Neural style",
            image=picture,
            style=material,
            size=0,
            coarsest=0.5,
        )
    proven(flow, picture, painted, soft)


def recolour(flow: Workflow) -> None:
    """Hair, and then lips, in another colour."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", ASTRONAUT)
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    changed = picture
    for number, (part, colour, strength, choice, softness) in enumerate(COLOURS):
        with flow.column(f"{number + 2} · {part}"):
            marked = flow.add(
                "VisageFaceMask", part, image=picture, parser=parser, parts=[part.lower()], **choice
            )
            flow.add("PreviewImage", f"{part} overlay", images=marked["overlay"])
            soft = flow.add("VisageSoftMask", f"{part}, soft", mask=marked, boxes=marked["boxes"],
                            unit="percent of face", **softness)  # fmt: skip
            changed = flow.add("VisageRecolour", f"{part} colour", image=changed, mask=soft,
                               colour=colour, strength=strength)  # fmt: skip
    with flow.column("4 · Result"):
        saved_and_compared(flow, picture, changed, "recoloured")


def change_background(flow: Workflow) -> None:
    """Another picture behind the people, whose outline is cleaned of the old one."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", ASTRONAUT)
        scene = loaded_picture(flow, "New background", "visage_painting_orchard.jpg")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    with flow.column("2 · The people"):
        people = flow.add("VisagePersonMask", "People", image=picture, parser=parser)
        flow.add("PreviewImage", "Mask overlay", images=people["overlay"])
        soft = flow.add("VisageSoftMask", "Soft edge", mask=people, sigma=1.0, grow=-1)
        split = flow.add("VisageSplitLayers", "Split layers", image=picture, mask=soft)
    with flow.column("3 · Another background"):
        size = flow.add("GetImageSize", "Size", image=picture)
        behind = flow.add(
            "ImageScale",
            "Same size",
            image=scene,
            upscale_method="lanczos",
            width=size["width"],
            height=size["height"],
            crop="center",
        )
        whole = flow.add("VisageComposeLayers", "Compose layers", layers=split, image=behind)
        others = flow.add("InvertMask", "All but the people", mask=soft)
        changed = flow.add("ThresholdMask", "What may change", mask=others, value=0.01)
    proven(flow, picture, whole, changed)


def remove_object(flow: Workflow) -> None:
    """The object's place filled by patches from around it."""
    with flow.column("1 · Input"):
        picture = loaded_picture(flow, "Picture", ASTRONAUT)
    with flow.column("2 · What is removed"):
        gone = marked(flow, "Object", picture, BADGE)
        flow.add("MaskPreview", "What goes", mask=gone)
    with flow.column("3 · Fill"):
        filled = flow.add("VisageFillMask", "Fill mask", image=picture, mask=gone)
        soft = flow.add("VisageSoftMask", "Soft edge", mask=gone, sigma=1.5, grow=-3)
    proven(flow, picture, filled, soft)


def add_object(flow: Workflow) -> None:
    """Something to wear painted by the starter; of what it painted the thing alone is taken."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_portrait.png")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        model = BASE_STARTER.load(flow)
    place, painted = painted_place(
        flow, BASE_STARTER, model, picture, "Object", EYES, SUNGLASSES, "", sigma=2, context=1.5
    )
    with flow.column("3 · Paint"):
        shown = flow.add("VisagePromptMask", "What is it", image=painted, text="glasses",
                         parser=parser)  # fmt: skip
        alone = flow.add(
            "VisageCombineMasks",
            "Object alone",
            folded=True,
            image=picture,
            operation="intersect",
            mask=shown,
            other=place,
        )
        outline = flow.add("VisageSoftMask", "Its outline", mask=alone, sigma=0.8)
    proven(flow, picture, painted, outline)


def inpainted(flow: Workflow, base: Base, file: str, title: str, box: str, prompt: str) -> None:
    """A marked place painted by a model."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", file)
        model = base.load(flow)
    sigma = base.size / 128
    soft, painted = painted_place(flow, base, model, picture, title, box, prompt, UNWANTED, sigma)
    proven(flow, picture, painted, soft)


def painted_place(
    flow: Workflow,
    base: Base,
    model: Loaded,
    picture: Node,
    title: str,
    box: str,
    prompt: str,
    unwanted: str,
    sigma: float,
    **crop: float,
) -> tuple[Node, Node]:
    """The soft mask of a box, and the picture with what a model paints there.

    `crop` are inputs of Crop Faces.
    """
    with flow.column("2 · The place and the prompt"):
        place = marked(flow, title, picture, box)
        soft = flow.add("VisageSoftMask", "Soft edge", mask=place, sigma=sigma)
        crops = flow.add(
            "VisageCropFaces", "Crop the place", image=picture, mask=soft, size=base.size, **crop
        )
        words = flow.add("CLIPTextEncode", "Prompt", text=prompt, clip=model.clip)
        not_this = flow.add("CLIPTextEncode", "Negative prompt", text=unwanted, clip=model.clip)
    with flow.column("3 · Paint"):
        inpaint = flow.add(
            "VisageSoftInpaint",
            "Soft inpaint",
            positive=words,
            negative=not_this,
            vae=model.vae,
            image=crops,
            mask=crops["masks"],
        )
        latent = sampled(flow, "Sampler", model.model, inpaint, cfg=5, steps=20, seed=0)
        edited = flow.add("VAEDecode", "Decode", samples=latent, vae=model.vae)
        pasted = flow.add(
            "VisagePasteFaces", "Paste back", images=edited, crops=crops["crops"], original=picture
        )
        flow.add("PreviewImage", "Raw result", images=pasted)
    return soft, pasted


def marked(flow: Workflow, title: str, picture: Node, box: str, cut: bool = False) -> Node:
    """A mask from boxes, or of the object in them."""
    shape = {"shape": "object in it"} if cut else {}
    return flow.add("VisageCombineMasks", title, image=picture, box=box, **shape)


def proven(flow: Workflow, picture: Node, edited: Node, mask: Node | Output) -> None:
    """The column that keeps every pixel outside the mask and proves it."""
    with flow.column("4 · Keep every other pixel"):
        blend = flow.add(
            "VisagePixelBlend", "Pixel blend", edited=edited, original=picture, mask=mask
        )
        flow.add("PreviewAny", "Proof", source=blend["proof"])
        flow.add("PreviewAny", "Report", folded=True, source=blend["report"])
        saved_and_compared(flow, picture, blend, "edited")
