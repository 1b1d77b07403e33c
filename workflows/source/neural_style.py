"""A photograph painted without any model file: all of it, all but the person, fast; and a clip."""

from __future__ import annotations

from ..builder.graph import Node, Workflow
from .parts import STARTER, loaded_picture, saved_and_compared

PICTURE = """\
Paints a photograph in the style of a painting. No checkpoint, no Prompt and no files are
needed, and it runs on a CPU in under a minute at 512 px. The person keeps their likeness and
still looks painted.

Change first
· Picture: any photograph, any size up to 4096 px.
· Style picture: a painting, 300 px and more. What it has in it is what you get: strokes,
colours, small things.

Then, if you like
· Neural style: keep_strength is how much of face and hair stays; style_scale makes strokes broader;
coarsest nearer 0.5 keeps more of the layout.
· colour "keep the picture's" paints with the photograph's own colours.
· Face mask: parts "face" lets the hair be painted like the rest.

Interrupting keeps the picture so far. With VGG-19 in models/visage_vgg, method "Gram (VGG-19)"
is Gatys' method."""
BACKGROUND = """\
Paints everything but the person: a painted world behind a photograph. The person stays
untouched, bit for bit, and the report proves it. No checkpoint, no Prompt and no files are
needed.

Change first
· Picture and Style picture: any size.
· Who stays: one person alone, by faces "largest" or by number. Look at the overlay: where a body
and what is behind it have the same colour, join a box to it or take from it with Combine Masks.

Then, if you like
· Around the person: a smaller grow lets the painting come nearer; sigma is how softly it
begins.
· Neural style: style_scale makes strokes broader; coarsest nearer 0.5 keeps more of the layout.

For the head alone, and clothes that are painted too, put Face Mask in the place of Who stays."""
CLIP = """\
Paints a clip like a painting, without flicker: strokes move with what they are painted on. No
checkpoint, no Prompt and no files are needed.

Change first
· Clip: any batch of frames: an animated WebP or GIF here, or frames from a node that loads
videos.
· Style picture: a painting, 300 px and more.

Then, if you like
· Neural style: batch "pictures" paints each frame for itself, which flickers: compare the two.
· Result: frames per second, and quality.

The face mask is made for every frame, so that the person keeps their likeness."""
FAST = """\
Paints a photograph in one pass, in a style that a small network knows. No checkpoint, no Prompt
and no files are needed, and it takes a second or two on a CPU.

Change first
· Picture: any photograph, any size; large ones go through in tiles.
· Fast style: one of the built-in styles. Public files (candy.pth, mosaic.pth, ...) and your own
go into models/visage_fast_styles.

Then, if you like
· Paint: keep_strength is how much of face and hair stays as it was; strength mixes all of it.
· colour "luminance only" keeps every colour of the photograph.

Train Fast Style learns a style of your own from one painting."""
ADAIN = """\
Paints a photograph in the palette and light of any painting in one pass, without learning it first.
No checkpoint, no Prompt and no files are needed. The person keeps their likeness.

Change first
· Picture: any photograph, up to 4096 px; large ones go through in tiles.
· Style picture: a painting. A second and a third are mixed in by weight.

Then, if you like
· Paint: alpha is how far it goes, 0 leaves the photograph as it is; keep_strength is how much of
face and hair stays.
· model: the built-in pair is small and paints colours and light, no strokes. AdaIN's public files
vgg_normalised.pth and decoder.pth in models/visage_adain paint strokes as well."""
COMPARED = """\
Paints a photograph in four ways, side by side, with a score for style and one for the person.
No Prompt and no files are needed.

· Picture 0, Patches: strokes cut from the painting itself, face and hair kept.
· Picture 1, Patches, own colours: the same strokes in the photograph's colours.
· Picture 2, Fast Style: one pass by a network that knows The Starry Night.
· Picture 3, AdaIN Style: one pass by a network that knows no style: palette and light of any
painting, no strokes.

The built-in style score hears colours more than strokes: look as well.

Change first
· Picture and Style picture. Fast style stays with the painting that it learned.

Then, if you like
· With VGG-19 in models/visage_vgg set a Patches to method "Gram (VGG-19)"; with AdaIN's public
files in models/visage_adain choose them as AdaIN Style's model.
· Faces: any analyzer that you have; "auto" takes the best that is installed.
· Contact sheet: weights of style and person decide which comes first."""


def workflows() -> list[Workflow]:
    """All six jobs."""
    picture = Workflow("paint_picture", PICTURE)
    paint_picture(picture)
    background = Workflow("paint_background", BACKGROUND)
    paint_background(background)
    clip = Workflow("paint_clip", CLIP)
    paint_clip(clip)
    fast = Workflow("paint_fast", FAST)
    paint_fast(fast)
    adain = Workflow("paint_adain", ADAIN)
    paint_adain(adain)
    compared = Workflow("styles_compared", COMPARED)
    styles_compared(compared)
    return [picture, background, clip, fast, adain, compared]


def _inputs(
    flow: Workflow,
    title: str = "Picture",
    picture: str = "visage_astronaut.png",
    style: str = "visage_painting_night.jpg",
) -> tuple[Node, Node, Node]:
    """The column of the picture, the style picture and the face parser."""
    with flow.column("1 · Inputs"):
        return (
            loaded_picture(flow, title, picture),
            loaded_picture(flow, "Style picture", style),
            flow.add("VisageLoadFaceParser", "Face parser", file=STARTER),
        )


def _who_is_kept(flow: Workflow, picture: Node, parser: Node) -> Node:
    """The column of the face mask; returns the mask."""
    with flow.column("2 · Who is kept"):
        mask = _face_and_hair(flow, picture, parser)
        flow.add("PreviewImage", "Mask overlay", images=mask["overlay"])
    return mask


def _face_and_hair(flow: Workflow, picture: Node, parser: Node) -> Node:
    """The mask by which one knows a person again."""
    return flow.add(
        "VisageFaceMask",
        "Face mask",
        image=picture,
        parser=parser,
        parts=["face and hair"],
        edges="soft",
    )


def paint_picture(flow: Workflow) -> None:
    """All is painted, face and hair more gently."""
    picture, style, parser = _inputs(flow)
    mask = _who_is_kept(flow, picture, parser)
    with flow.column("3 · Paint"):
        painted = flow.add(
            "VisageNeuralStyle", "Neural style", image=picture, style=style, keep=mask
        )
    with flow.column("4 · Result"):
        saved_and_compared(flow, picture, painted)


def paint_background(flow: Workflow) -> None:
    """All is painted, and the person is put back bit for bit."""
    picture, style, parser = _inputs(flow, style="visage_painting_orchard.jpg")
    with flow.column("2 · Who stays"):
        person = flow.add("VisagePersonMask", "Who stays", image=picture, parser=parser)
        flow.add("PreviewImage", "Mask overlay", images=person["overlay"])
        others = flow.add("InvertMask", "All but the person", mask=person)
        around = flow.add("VisageSoftMask", "Around the person", mask=others, sigma=1.5, grow=-2)
    with flow.column("3 · Paint"):
        painted = flow.add("VisageNeuralStyle", "Neural style", image=picture, style=style)
    with flow.column("4 · Keep the person, bit for bit"):
        blend = flow.add(
            "VisagePixelBlend", "Pixel blend", edited=painted, original=picture, mask=around
        )
        flow.add("PreviewAny", "Report", folded=True, source=blend["report"])
        flow.add("SaveImage", "Result", images=blend, filename_prefix="visage/paint_background")


def paint_clip(flow: Workflow) -> None:
    """Every frame is painted, beginning with the last one's strokes."""
    clip, style, parser = _inputs(flow, "Clip", "visage_clip.webp")
    mask = _who_is_kept(flow, clip, parser)
    with flow.column("3 · Paint"):
        painted = flow.add("VisageNeuralStyle", "Neural style", image=clip, style=style, keep=mask)
    with flow.column("4 · Result"):
        flow.add("PreviewImage", "Frames", images=painted)
        flow.add(
            "SaveAnimatedWEBP",
            "Result",
            images=painted,
            filename_prefix="visage/paint_clip",
            fps=8.0,
            lossless=False,
            quality=90,
            method="default",
        )


def paint_fast(flow: Workflow) -> None:
    """One pass by a network that knows a style, face and hair more gently."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style = flow.add("VisageLoadFastStyle", "Fast style", file="great_wave (built in)")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    mask = _who_is_kept(flow, picture, parser)
    with flow.column("3 · Paint"):
        painted = flow.add(
            "VisageFastStyle",
            "Paint",
            image=picture,
            fast_style=style,
            keep=mask,
            keep_strength=0.25,
        )
    with flow.column("4 · Result"):
        saved_and_compared(flow, picture, painted)


def paint_adain(flow: Workflow) -> None:
    """One pass in the style of a painting that nothing was trained on."""
    picture, style, parser = _inputs(flow)
    mask = _who_is_kept(flow, picture, parser)
    with flow.column("3 · Paint"):
        painted = flow.add(
            "VisageAdaINStyle",
            "Paint",
            image=picture,
            style=style,
            keep=mask,
            model=STARTER,
        )
    with flow.column("4 · Result"):
        saved_and_compared(flow, picture, painted)


def styles_compared(flow: Workflow) -> None:
    """Four methods on one picture, and their scores."""
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style = loaded_picture(flow, "Style picture", "visage_painting_night.jpg")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        fast_style = flow.add("VisageLoadFastStyle", "Fast style", file="starry_night (built in)")
    with flow.column("2 · Who is kept"):
        mask = _face_and_hair(flow, picture, parser)
        faces = flow.add(
            "VisageLoadFaceAnalyzer", "Faces", analyzer="auto (the best that is installed)"
        )
    with flow.column("3 · With the painting's colours"):
        given = {"image": picture, "style": style, "keep": mask}
        patches = flow.add("VisageNeuralStyle", "Patches", **given)
    with flow.column("4 · With the photograph's"):
        own = flow.add(
            "VisageNeuralStyle", "Patches, own colours", **given, colour="keep the picture's"
        )
    with flow.column("5 · One pass each"):
        fast = flow.add(
            "VisageFastStyle", "Fast Style", image=picture, fast_style=fast_style, keep=mask
        )
        adain = flow.add("VisageAdaINStyle", "AdaIN Style", **given, model=STARTER)
        first = flow.add("ImageBatch", "Patches both", image1=patches, image2=own)
        second = flow.add("ImageBatch", "One pass both", image1=fast, image2=adain)
        painted = flow.add("ImageBatch", "All four", image1=first, image2=second)
    with flow.column("6 · Side by side"):
        identity = flow.add(
            "VisageIdentityScore", "Identity score", original=picture, result=painted, faces=faces
        )
        score = flow.add("VisageStyleScore", "Style score", result=painted, style=style)
        sheet = flow.add(
            "VisageBestOf",
            "Contact sheet",
            images=painted,
            count=4,
            person=identity["scores"],
            style=score["report"],
        )
        flow.add(
            "SaveImage",
            "Result",
            images=sheet["contact sheet"],
            filename_prefix="visage/styles_compared",
        )
