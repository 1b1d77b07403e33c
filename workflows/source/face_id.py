"""A new picture with a person of a photograph in it: IP-Adapter FaceID."""

from __future__ import annotations

from dataclasses import dataclass

from ..builder.graph import Workflow
from .parts import BASE_SD15, BASE_SDXL, Base, loaded_picture

NOTE = """\
Paints a new picture, and the person in it is the one of your photograph.

Change first
· Person: a photograph with one clear face; the largest one counts.
· Prompt: what the picture shows.

Then, if you like
· Likeness: weight is how firmly the person is held. The LoRA that belongs to the adapter makes the
likeness; below 0.5 it fades.
· Identity: how like the painted face is to the photograph, 1 being the same picture.

"""
FILES = """\
Models: {base} in models/checkpoints, {adapter} in models/ipadapter, {lora} in models/loras, and
InsightFace's buffalo_l, whose licence is for non-commercial research, in models/insightface."""
PROMPT = "a portrait of a person in a garden, oil painting, soft light"
UNWANTED = "blurry, deformed, low quality"
ANALYZER = "buffalo_l"


@dataclass(frozen=True)
class Files:
    """The adapter and its LoRA."""

    adapter: str
    lora: str


SD15 = Files("ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sd15_lora.safetensors")
SDXL = Files("ip-adapter-faceid_sdxl.bin", "ip-adapter-faceid_sdxl_lora.safetensors")


def workflows() -> list[Workflow]:
    """For SD 1.5 and SDXL."""
    made = []
    for base, files in ((BASE_SD15, SD15), (BASE_SDXL, SDXL)):
        text = NOTE + FILES.format(base=base.name, adapter=files.adapter, lora=files.lora)
        flow = Workflow(f"face_id{base.suffix}", text, needs=f"{base.name}, FaceID, InsightFace")
        face_id(flow, base, files)
        made.append(flow)
    return made


def face_id(flow: Workflow, base: Base, files: Files) -> None:
    """Text to image under the adapter, and how like the person is."""
    with flow.column("1 · Inputs"):
        person = loaded_picture(flow, "Person", "visage_astronaut.png")
        analyzer = flow.add("VisageLoadFaceAnalyzer", "Face analyzer", analyzer=ANALYZER)
        model = base.load(flow)
        adapter = flow.add("VisageLoadIPAdapter", "IP-Adapter", file=files.adapter)
    with flow.column("2 · Person and prompt"):
        tuned = flow.add(
            "LoraLoaderModelOnly",
            "FaceID LoRA",
            model=model.model,
            lora_name=files.lora,
            strength_model=0.7,
        )
        likeness = flow.add(
            "VisageStyleAdapter",
            "Likeness",
            model=tuned,
            ipadapter=adapter,
            clip_vision=adapter["clip_vision"],
            image=person,
            faces=analyzer,
            weight=0.8,
        )
        positive = flow.add("CLIPTextEncode", "Prompt", text=PROMPT, clip=model.clip)
        negative = flow.add("CLIPTextEncode", "Negative prompt", text=UNWANTED, clip=model.clip)
        size = flow.add("EmptyLatentImage", "Size", width=base.size, height=base.size)
    with flow.column("3 · Paint, and compare"):
        painted = flow.add(
            "KSampler",
            "Sampler",
            model=likeness,
            positive=positive,
            negative=negative,
            latent_image=size,
            steps=30,
            cfg=6,
            sampler_name="euler",
            scheduler="normal",
        )
        decoded = flow.add("VAEDecode", "Decode", samples=painted, vae=model.vae)
        identity = flow.add(
            "VisageIdentityScore", "Identity", original=person, result=decoded, faces=analyzer
        )
        flow.add("PreviewAny", "Report", folded=True, source=identity["report"])
        flow.add("SaveImage", "Result", images=decoded, filename_prefix=f"visage/{flow.name}")
