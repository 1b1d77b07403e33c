"""Edit Faces, layers and Bring Face: jobs that need few nodes."""

from __future__ import annotations

from ..builder.graph import Workflow
from .face_edit import FOR_HAIR, HAIR_CONTEXT, RED_HAIR
from .parts import BASE_STARTER, STARTER, loaded_picture

EDIT_NOTE = """\
The main job in one node: edits faces by prompt and leaves every other pixel as it was, bit for bit.
Makes four versions and keeps the one that is most like the person.

Change first
· Picture: your photograph, any size, any number of faces.
· Edit faces: the prompt, for all faces or for each by its number, such as
  "0: with red hair | 2: with black hair"; parts is what of them is painted, here the hair.

Then, if you like
· Versions: how many to choose from.
· Proven versions: each saved file says what was changed where; "visage verify FILE PICTURE"
  checks it.

Model: the starter is tiny, so blend "tone" takes its colours and keeps the photograph's own
features. For other shapes put a checkpoint loader with an inpainting model in its place, set
face_edit to none and blend to linear."""

LAYERS_NOTE = """\
Cuts the person out as a layer with clean edges, paints the background anew, and puts both
together: the person stays as they were.

Change first
· Picture: your photograph. Style: any painting.
· What: the words for what becomes a layer, such as "person" or "hair".

Then, if you like
· Any other nodes in place of Neural style.
· Layered file: open it in Krita or GIMP (.ora), or choose psd."""

BRING_NOTE = """\
Brings the person of one picture into another, without a model that paints: the face is warped
onto the other one, takes its light and skin tone, and is blended in.

Change first
· Picture: where the face goes. Person: whose face it is, seen from the same side.
  Use it only with the consent of the people in the pictures.

Then, if you like
· Analyzer: one that knows photographs of people, such as dlib or YuNet with SFace.
· Bring face: light, and how differently the heads may be turned."""


def workflows() -> list[Workflow]:
    """Each for the starter alone: they hold no other model, or take any."""
    return [edit_faces(), edit_by_layers(), bring_face()]


def edit_faces() -> Workflow:
    """Four versions of an edit, the best of them saved with its proof."""
    flow = Workflow("edit_faces", EDIT_NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        model = BASE_STARTER.load(flow)
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        analyzer = flow.add("VisageLoadFaceAnalyzer", "Analyzer", analyzer=STARTER)
    with flow.column("2 · Edit"):
        versions = flow.add("RepeatImageBatch", "Versions", image=picture, amount=4)
        edit = flow.add(
            "VisageEditFaces",
            "Edit faces",
            model=model.model,
            clip=model.clip,
            vae=model.vae,
            image=versions,
            parser=parser,
            prompt=RED_HAIR,
            parts="hair",
            **FOR_HAIR,
            context=HAIR_CONTEXT,
            seed=3,
            blend="tone",
        )
    with flow.column("3 · The best"):
        score = flow.add(
            "VisageIdentityScore", "Identity score", original=picture, result=edit, faces=analyzer
        )
        best = flow.add("VisageBestOf", "Best of", images=edit, person=score["scores"])
        flow.add("PreviewImage", "All versions", images=best["contact sheet"])
    with flow.column("4 · Result"):
        flow.add("PreviewAny", "Proof", source=edit["proof"])
        flow.add("SaveImage", "Result", images=best, filename_prefix="visage/edit_faces")
        flow.add(
            "VisageSaveProven",
            "Proven versions",
            image=edit,
            original=picture,
            mask=edit["mask"],
            filename_prefix="visage/edit_faces_proven",
        )
    return flow


def edit_by_layers() -> Workflow:
    """The background painted, the person on a layer of their own."""
    flow = Workflow("edit_by_layers", LAYERS_NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_astronaut.png")
        style = loaded_picture(flow, "Style", "visage_painting_orchard.jpg")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
    with flow.column("2 · Layers"):
        mask = flow.add("VisagePromptMask", "What", image=picture, text="person", parser=parser)
        soft = flow.add("VisageSoftMask", "Soft mask", mask=mask, sigma=1.5)
        split = flow.add("VisageSplitLayers", "Split layers", image=picture, mask=soft)
    with flow.column("3 · Edit one layer"):
        behind = flow.add("VisagePickLayer", "Pick layer", layers=split, name="background")
        painted = flow.add("VisageNeuralStyle", "Neural style", image=behind, style=style, size=512)
    with flow.column("4 · Put together"):
        whole = flow.add("VisageComposeLayers", "Compose layers", layers=split, image=painted)
        flow.add("SaveImage", "Result", images=whole, filename_prefix="visage/edit_by_layers")
        flow.add("VisageSaveLayers", "Layered file", layers=whole["layers"])
    return flow


def bring_face() -> Workflow:
    """The face of one picture in another."""
    flow = Workflow("bring_face", BRING_NOTE)
    with flow.column("1 · Inputs"):
        picture = loaded_picture(flow, "Picture", "visage_group.png")
        person = loaded_picture(flow, "Person", "visage_portrait.png")
        parser = flow.add("VisageLoadFaceParser", "Face parser", file=STARTER)
        analyzer = flow.add(
            "VisageLoadFaceAnalyzer", "Analyzer", analyzer=STARTER, order="largest", face_index=0
        )
    with flow.column("2 · Bring the face"):
        brought = flow.add(
            "VisageBringFace",
            "Bring face",
            image=picture,
            reference=person,
            faces=analyzer,
            parser=parser,
        )
    with flow.column("3 · Result"):
        flow.add("VisageCompare", "Compare", before=picture, after=brought)
        flow.add("PreviewAny", "Report", source=brought["report"])
        flow.add("SaveImage", "Result", images=brought, filename_prefix="visage/bring_face")
    return flow
