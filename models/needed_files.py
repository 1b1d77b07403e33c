"""Which model files a workflow in API form needs, and in which of ComfyUI's folders they belong."""

from __future__ import annotations

from pathlib import Path

_VIT_H = 1280
# Class and input of every loader that the shipped workflows use, and the folder that it reads.
LOADERS = {
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoints",
    ("UNETLoader", "unet_name"): "diffusion_models",
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("DualCLIPLoader", "clip_name1"): "text_encoders",
    ("DualCLIPLoader", "clip_name2"): "text_encoders",
    ("VAELoader", "vae_name"): "vae",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("ControlNetLoader", "control_net_name"): "controlnet",
    ("VisageLoadIPAdapter", "file"): "ipadapter",
    ("LoraLoaderModelOnly", "lora_name"): "loras",
    ("VisageLoadFaceAnalyzer", "analyzer"): "insightface",
}
# Choices that need no file: those in the repository, and those without a model.
NO_FILE = ("(built in)", "cascade", "auto")
# The image encoder for an IP-Adapter's second output, found by its width under any name.
ENCODER = ("clip_vision", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors")
_ENCODER_SLOT = 1
# AdaIN Style's choice that means two files, and these.
ADAIN_PUBLIC = "public files (vgg_normalised, decoder)"
ADAIN_FILES = ("vgg_normalised.pth", "decoder.pth")


def needed_files(prompt: dict) -> list[tuple[str, str]]:
    """Folder and name of each file, in the workflow's order, each once; not those built in."""
    found = [
        (folder, node["inputs"][name])
        for node in prompt.values()
        for (kind, name), folder in LOADERS.items()
        if node["class_type"] == kind and _is_file(node["inputs"].get(name))
    ]
    if any(node["inputs"].get("model") == ADAIN_PUBLIC for node in prompt.values()):
        found += [("visage_adain", name) for name in ADAIN_FILES]
    if any(_loads_encoder(prompt, node) for node in prompt.values()):
        found.append(ENCODER)
    return list(dict.fromkeys(found))


def _is_file(value: object) -> bool:
    return isinstance(value, str) and not any(word in value for word in NO_FILE)


def _loads_encoder(prompt: dict, node: dict) -> bool:
    """Whether a node takes the image encoder of an IP-Adapter that is a file and reads pictures."""
    link = node["inputs"].get("clip_vision")
    if not isinstance(link, list) or link[1] != _ENCODER_SLOT or "faces" in node["inputs"]:
        return False
    loader = prompt[str(link[0])]
    return loader["class_type"] == "VisageLoadIPAdapter" and _is_file(loader["inputs"]["file"])


def missing_files(prompt: dict, folders: dict[str, list[Path]]) -> list[tuple[str, str]]:
    """Those that lie in none of their `folders`; an image encoder may have another name."""
    return [
        file
        for file in needed_files(prompt)
        if not any(_is_there(file, place) for place in folders.get(file[0], []))
    ]


def _is_there(file: tuple[str, str], place: Path) -> bool:
    if (place / file[1]).exists():
        return True
    if file != ENCODER or not place.is_dir():
        return False
    # Not before there is a folder to look into: it needs torch, and the doctor shall not.
    from .ip_adapter import encoder_widths

    others = place.rglob("*.safetensors")
    return any(encoder_widths(other).get("hidden_states") == _VIT_H for other in others)
