"""Parts of several workflows: base models, and stages that are built alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..builder.graph import Node, Output, Workflow

STARTER = "starter (built in)"


@dataclass(frozen=True)
class Base:
    """A base model: the suffix of its workflows' names, the edge of its pictures in pixels, the
    checkpoint for Load Checkpoint ("" for the starter), and the name for people.
    """

    suffix: str
    size: int
    checkpoint: str = ""
    name: str = "the starter"

    @property
    def is_starter(self) -> bool:
        return not self.checkpoint

    def load(self, flow: Workflow, id: int | None = None) -> Loaded:
        """Add the node "Model"."""
        if self.is_starter:
            node = flow.add("VisageLoadStarter", "Model", id=id)
            return Loaded(node["model"], node["clip"], node["vae"], node["clip_vision"])
        node = flow.add("CheckpointLoaderSimple", "Model", id=id, ckpt_name=self.checkpoint)
        return Loaded(node["MODEL"], node["CLIP"], node["VAE"])


@dataclass(frozen=True)
class Loaded:
    """The outputs of a loader."""

    model: Output
    clip: Output
    vae: Output
    clip_vision: Output | None = None


BASE_STARTER = Base("", 192)
BASE_SD15 = Base("_sd15", 512, "v1-5-pruned-emaonly-fp16.safetensors", "SD 1.5")
BASE_SDXL = Base("_sdxl", 1024, "sd_xl_base_1.0.safetensors", "SDXL")
BASE_SD15_INPAINTING = Base("_sd15", 512, "sd-v1-5-inpainting.safetensors", "SD 1.5 inpainting")
BASE_SDXL_INPAINTING = Base(
    "_sdxl", 1024, "sd_xl_base_1.0_inpainting_0.1.safetensors", "SDXL inpainting"
)


def saved_and_compared(flow: Workflow, picture: Node, result: Node, label: str = "painted") -> None:
    """The result saved under the workflow's name, and beside the picture."""
    flow.add("SaveImage", "Result", images=result, filename_prefix=f"visage/{flow.name}")
    flow.add(
        "VisageCompare",
        "Before and after",
        before=picture,
        after=result,
        before_label="original",
        after_label=label,
    )


def loss_curve(flow: Workflow, loss: Output) -> Node:
    """The curve of a training."""
    return flow.add("LossGraphNode", "Loss curve", loss=loss, filename_prefix="visage_loss")


def face_masks(
    flow: Workflow,
    picture: Node,
    parser: Node,
    model: Output,
    first_id: int,
    **choice: Any,
) -> tuple[Node, Node, Node]:
    """Face mask, soft mask and the crop of every face at `model`'s own size, with a look at the
    mask. `choice` are inputs of Face Mask, such as its parts.
    """
    mask = flow.add(
        "VisageFaceMask", "Face mask", id=first_id, image=picture, parser=parser, **choice
    )
    flow.add("PreviewImage", "Mask overlay", images=mask["overlay"])
    boxes = mask["boxes"]
    soft = flow.add(
        "VisageSoftMask", "Soft mask", mask=mask, grow=4, unit="percent of face", boxes=boxes
    )
    crops = flow.add(
        "VisageCropFaces",
        "Crop faces",
        image=picture,
        mask=soft,
        boxes=boxes,
        size=0,
        model=model,
    )
    return mask, soft, crops


def loaded_picture(flow: Workflow, title: str, picture: str) -> Node:
    """A picture that is loaded."""
    return flow.add("LoadImage", title, image=picture)


def sampled(
    flow: Workflow, title: str, model: Node | Output, inpaint: Node, **settings: float
) -> Node:
    """KSampler on what Soft Inpaint made."""
    return flow.add(
        "KSampler",
        title,
        model=model,
        positive=inpaint,
        negative=inpaint["negative"],
        latent_image=inpaint["latent"],
        sampler_name="euler",
        scheduler="normal",
        **settings,
    )


def painted_faces(
    flow: Workflow,
    model: Node | Output,
    loaded: Loaded,
    prompts: tuple[Node, Node],
    mask: Node,
    crops: Node,
    adapter: Output,
    seed: int = 0,
    **aware: Any,
) -> Node:
    """Crops of faces painted by a prompt and a negative one; returns the decoded pictures.

    `aware` are options of the node "Face-aware prompt", such as `bypass`.
    """
    positive = flow.add(
        "VisageFaceAwareText",
        "Face-aware prompt",
        conditioning=prompts[0],
        mask=mask,
        adapter=adapter,
        crops=crops["crops"],
        **aware,
    )
    inpaint = flow.add(
        "VisageSoftInpaint",
        "Soft inpaint",
        positive=positive,
        negative=prompts[1],
        vae=loaded.vae,
        image=crops,
        mask=crops["masks"],
    )
    sampler = sampled(flow, "Sampler", model, inpaint, cfg=5, seed=seed)
    return flow.add("VAEDecode", "Decode", samples=sampler, vae=loaded.vae)


def resized(
    flow: Workflow,
    title: str,
    picture: Node,
    size: int,
    id: int | None = None,
    crop: str = "disabled",
    folded: bool | None = None,
) -> Node:
    """A picture as large as the model's own; `crop` is "center" or "disabled", which distorts."""
    return flow.add(
        "ImageScale",
        title,
        id=id,
        folded=folded,
        image=picture,
        upscale_method="area",
        width=size,
        height=size,
        crop=crop,
    )


def kept_elsewhere(
    flow: Workflow,
    picture: Node,
    edited: Node,
    crops: Node,
    mask: Node,
    name: str,
    mode: str = "linear",
) -> None:
    """The column that pastes edited faces back and proves that nothing else changed.

    `mode` is Pixel Blend's.
    """
    with flow.column("4 · Keep every other pixel"):
        pasted = flow.add(
            "VisagePasteFaces", "Paste faces", images=edited, crops=crops["crops"], original=picture
        )
        flow.add("PreviewImage", "Raw result", images=pasted)
        blend = flow.add(
            "VisagePixelBlend",
            "Pixel blend",
            edited=pasted,
            original=picture,
            mask=mask,
            mode=mode,
        )
        flow.add("PreviewAny", "Proof", source=blend["proof"])
        flow.add("PreviewAny", "Report", folded=True, source=blend["report"])
        flow.add("SaveImage", "Result", images=blend, filename_prefix=f"visage/{name}")


def resized_and_cropped(
    flow: Workflow, title: str, picture: Node, base: Base, id: int | None = None
) -> Node:
    """A picture as large as the model's own; the middle of it for a checkpoint, so that nothing
    is distorted.
    """
    return resized(flow, title, picture, base.size, id, "disabled" if base.is_starter else "center")
